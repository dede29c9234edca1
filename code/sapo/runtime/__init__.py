"""Workspace folders, the content-addressed cache, process pools and progress output."""
