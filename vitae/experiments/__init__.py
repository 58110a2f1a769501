"""What is trained, declared in one TOML file a dataset; how it is run, resumed, scored and recorded."""
