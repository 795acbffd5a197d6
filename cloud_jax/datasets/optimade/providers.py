"""The fourteen OPTIMADE providers of the paper: where they are and how to cite them.

Base URLs: the list of providers (github.com/Materials-Consortia/providers,
src/index-metadbs/*/v1/links.json) and, for Materials Cloud, odbx and omdb, whose own
indexes are not in it, the providers' dashboard (optimade.org/providers-dashboard).
Numbers of structures: that dashboard on 2 July 2024, the last one before the paper;
where it found a server down, the number is 0. Largest pages: the most that each server
was found to grant (github.com/tilde-lab/optimade-client, dist/prefetched.json), 100
where unknown. Citations: references 87 to 99 of the paper.

Licences: as the provider states (Materials Project: materialsproject.org/terms; NOMAD:
nomad-lab.eu; OQMD: oqmd.org/download; Alexandria: alexandria.icams.rub.de; COD:
crystallography.net/cod; JARVIS: a work of NIST). Where no statement was found it says
so: what the server itself declares is written into `provider.json` at each harvest.
"""

from typing import NamedTuple

_UNSTATED = "not stated, see "
_MATERIALS_CLOUD = "https://aiida.materialscloud.org/{}/optimade"


class Provider(NamedTuple):
    """Describe one provider.

    Attributes:
        what: description of its data, in a few words.
        databases: base URL, without the version, by name.
        n_structures: number in all databases, on 2 July 2024; 0 if the server was down.
        licence: licence of the data.
        citation: DOI.
        page_limit: structures per page.
        indexes: base URLs of index meta-databases, whose children are read as well.
    """

    what: str
    databases: dict[str, str]
    n_structures: int
    licence: str
    citation: str
    page_limit: int = 100
    indexes: tuple[str, ...] = ()


PROVIDERS = {
    "aflow": Provider(
        "AFLOW, computed alloys and prototypes",
        {"aflow": "https://aflow.org/API/optimade"},
        0,
        _UNSTATED + "aflow.org",
        "10.1016/j.commatsci.2022.111808",
    ),
    "alexandria": Provider(
        "Alexandria, computed with PBE and PBEsol",
        {
            "alexandria-pbe": "https://alexandria.icams.rub.de/pbe",
            "alexandria-pbesol": "https://alexandria.icams.rub.de/pbesol",
        },
        5_055_842,
        "CC-BY-4.0",
        "10.1126/sciadv.abi7948",
    ),
    "c2db": Provider(
        "C2DB and the rest of the Computational Materials Repository, 2D materials",
        {"cmr": "https://cmr-optimade.fysik.dtu.dk"},
        16_789,
        _UNSTATED + "cmr.fysik.dtu.dk",
        "10.1088/2053-1583/ac1059",
    ),
    "cod": Provider(
        "Crystallography Open Database, experimental",
        {"cod": "https://www.crystallography.net/cod/optimade"},
        515_462,
        "CC0-1.0",
        "10.1093/nar/gkr900",
    ),
    "jarvis": Provider(
        "JARVIS-DFT of NIST",
        {"jarvis": "https://jarvis.nist.gov/optimade/jarvisdft"},
        77_096,
        "public domain (NIST)",
        "10.1038/s41524-020-00440-1",
    ),
    "mcloud": Provider(
        "Materials Cloud, its own databases and those of its archive",
        {
            name: _MATERIALS_CLOUD.format(path)
            for name, path in (
                ("2dtopo", "2dtopo"),
                ("curated-cofs", "curated-cofs"),
                ("mc2d", "mc2d"),
                ("mc3d", "mc3d"),
                ("pyrene-mofs", "pyrene-mofs"),
                ("scdm", "autowannier"),
                ("stoceriaitf", "stoceriaitf"),
                ("tc-applicability", "tc-applicability"),
                ("tin-antimony-sulfoiodide", "tin-antimony-sulfoiodide"),
            )
        },
        50_722 + 145,
        "differs per database, see materialscloud.org",
        "10.1038/s41597-020-00637-5",
        indexes=("https://www.materialscloud.org/optimade/archive",),
    ),
    "mpds": Provider(
        "Materials Platform for Data Science, the Pauling File",
        {"mpds": "https://api.mpds.io"},
        507_178,
        _UNSTATED + "mpds.io",
        "https://paulingfile.com",
    ),
    "mp": Provider(
        "Materials Project",
        {"mp": "https://optimade.materialsproject.org"},
        154_387,
        "CC-BY-4.0",
        "10.1063/1.4812323",
        500,
    ),
    "mpdd": Provider(
        "Material-Property-Descriptor Database",
        {"mpdd": "http://mpddoptimade.phaseslab.org"},
        3_975_666,
        _UNSTATED + "phaseslab.com/mpdd",
        "10.48550/arXiv.2404.02849",
    ),
    "mpod": Provider(
        "Material Properties Open Database",
        {"mpod": "http://mpod_optimade.cimav.edu.mx"},
        0,
        _UNSTATED + "mpod.cimav.edu.mx",
        "10.1080/17436753.2017.1343782",
    ),
    "nomad": Provider(
        "NOMAD, calculations of many groups",
        {"nmd": "https://nomad-lab.eu/prod/rae/optimade"},
        12_116_021,
        "CC-BY-4.0",
        "10.1557/mrs.2018.208",
        500,
    ),
    "odbx": Provider(
        "open database of xtals, with GNoME's structures",
        {
            "odbx": "https://optimade.odbx.science",
            "gnome": "https://optimade-gnome.odbx.science",
            "odbx_misc": "https://optimade-misc.odbx.science",
        },
        523_216,
        _UNSTATED + "odbx.science",
        "10.21105/joss.02563",
        500,
    ),
    "omdb": Provider(
        "Open Materials Database",
        {"omdb_production": "http://optimade.openmaterialsdb.se"},
        68_566,
        _UNSTATED + "openmaterialsdb.se",
        "10.1007/978-3-030-40245-7_17",
    ),
    "oqmd": Provider(
        "Open Quantum Materials Database",
        {"oqmd": "https://oqmd.org/optimade"},
        1_226_781,
        "CC-BY-4.0",
        "10.1007/s11837-013-0755-4",
    ),
}
