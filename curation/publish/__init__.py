"""Publication: a dataset folder becomes a tagged version of a repository on the hub.

layout    rows over files, so that unchanged files stay as they are       folder    everything that a version holds
plan      what would change on the hub                                    publish   commit, tag, read back
"""
