"""Programs that run outside the caller's process: the trusted judge, the fork server and what confines it.

They are started as scripts with this folder on the path, hold to the standard library and import nothing of `sapo`.
"""
