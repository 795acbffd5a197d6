"""The page as a Hugging Face Space: `cloud-jax web`, open to the network."""

import cloud_jax
from cloud_jax.compiled import keep_compiled_programs
from cloud_jax.web.server import serve


def main() -> None:
    """Serve the packaged model at the port that a Space expects."""
    serve(cloud_jax.load(), host="0.0.0.0", port=7860)


# The processes that read uploads import this file too.
if __name__ == "__main__":
    keep_compiled_programs()
    main()
