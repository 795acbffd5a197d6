"""Heat capacity and energy beside the paper and measured values."""
