"""Heat capacity and energy beside the paper, phonons and experiment."""
