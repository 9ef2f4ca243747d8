"""The clinic whose pages, programs and people are tested."""

from clinic import clinic, quick_passwords

__all__ = ["clinic", "quick_passwords"]
