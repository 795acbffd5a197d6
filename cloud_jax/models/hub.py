"""Where a model is: a name of the package, a folder, or a repository of the Hub.

The Hugging Face Hub is reached through huggingface_hub alone, which keeps downloads in
its cache: a model that was read once is read again without a network.
"""

import os
import re
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from cloud_jax.models.folder import (
    DESCRIPTION,
    VOCABULARY,
    WEIGHTS,
    ModelFolderError,
    find_model,
)

if TYPE_CHECKING:
    import huggingface_hub

PACKAGED = ("thermal", "encoder")  # folders of cloud_jax/weights
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def locate(source: str | os.PathLike[str], revision: str | None = None) -> Path:
    """Return the folder of a model, downloaded where it has to be.

    Args:
        source: a model folder or work directory, which goes first; `thermal` or
            `encoder`, the models in the package; or OWNER/NAME of the Hugging Face Hub.
        revision: branch, tag or commit of the repository of the Hub.

    Raises:
        ModelFolderError: there is no such model; says why.
    """
    name = os.fspath(source)
    with suppress(ModelFolderError):
        return find_model(name)
    if name in PACKAGED:
        return Path(str(files("cloud_jax"))) / "weights" / name
    if os.path.exists(name) or not _HUB_ID.fullmatch(name):
        return find_model(name)
    return _download(name, revision)


def upload(
    folder: Path,
    repo_id: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    message: str = "Upload a model of cloud_jax",
    token: str | None = None,
) -> str:
    """Upload the files of a folder as one commit; return its address.

    Args:
        folder: model folder, with its card.
        repo_id: OWNER/NAME; a repository that does not exist is created.
        private: whether a new repository is private; by default as the account says.
        revision: branch; by default the main one.
        message: of the commit.
        token: of the account; by default the one of `hf auth login` or HF_TOKEN.

    Raises:
        ModelFolderError: the Hub refused the model or cannot be reached; says why.
    """
    hub = _hub(repo_id)
    try:
        repo = hub.create_repo(repo_id, private=private, token=token, exist_ok=True)
        return hub.upload_folder(
            repo_id=repo.repo_id,
            folder_path=folder,
            revision=revision,
            commit_message=message,
            token=token,
        ).commit_url
    except Exception as error:  # of the Hub, of the network library, of the disk
        raise ModelFolderError(
            f"{repo_id} was not uploaded to {hub.constants.ENDPOINT}: "
            f"{_reason(error)}. An account and its token are needed: `hf auth login`, "
            "the variable HF_TOKEN, or token=..."
        ) from error


def _download(repo_id: str, revision: str | None) -> Path:
    hub = _hub(repo_id)
    try:
        folder = hub.snapshot_download(
            repo_id,
            revision=revision,
            allow_patterns=[DESCRIPTION, VOCABULARY, WEIGHTS],
            library_name="cloud_jax",
        )
    except Exception as error:  # of the Hub, of the network library, of the disk
        raise ModelFolderError(
            f"{repo_id}: there is no such folder here, and as a model of the Hugging "
            f"Face Hub ({hub.constants.ENDPOINT}) it cannot be read: {_reason(error)}. "
            f"Give an existing folder, OWNER/NAME of a public model, or one of "
            f"{', '.join(PACKAGED)}, which need no network"
        ) from error
    return Path(folder)


def _hub(repo_id: str) -> "huggingface_hub":
    try:
        import huggingface_hub
    except ImportError:
        raise ModelFolderError(
            f"{repo_id}: there is no such folder here, and models of the Hugging Face "
            "Hub need huggingface_hub, which is not installed: "
            'pip install "cloud-jax[hf]"'
        ) from None
    return huggingface_hub


def _reason(error: Exception) -> str:
    """Return the first lines of an error of the Hub, without its hints."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:2]).rstrip(".")
    return f"{type(error).__name__}: {text[:300]}"
