"""What other programs ask for, under ``/api/v1``."""
