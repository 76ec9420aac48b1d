"""The commands, one file each: `add_arguments` says what it takes, `main` does it and returns its exit code.

Rules of this folder: a file imports at its top only what its command cannot do without, for `wait` and `healthcheck`
are run every few seconds and must answer at once. What a person or a program reads is said through `console`.
"""
