"""What all other packages share: errors, files, paths, random numbers, registries, devices and threads."""
