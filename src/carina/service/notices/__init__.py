"""Notices: other programs are told of events by webhooks. They hold numbers, and nothing of a patient."""
