"""One file per stage of dvc.yaml: `run(settings, workspace, arguments)` reads earlier stages and writes its own."""
