"""The command line: `sapo COMMAND`, or `python -m sapo COMMAND`.

`main` is the entry. A module declares the commands of each section of `sapo --help`: `stages` (the graph in dvc.yaml),
`results` and `tools`. They only read options and print; the work is done by the modules that each command imports when
it runs, so that help, errors and shell completion never wait for PyTorch.
"""
