"""A Kubernetes Secret as it looks inside a container: files that are links through one link, which is swapped.

Source: https://kubernetes.io/docs/concepts/configuration/secret/#mounted-secrets-are-updated-automatically and the
kubelet's atomic writer: `session_string → ..data/session_string`, `..data → ..2026_11_22_10_00_00.123`.
"""

from itertools import count
from pathlib import Path
from shutil import rmtree


class MountedSecret:
    """One mounted Secret."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._versions = count()

    def swap(self, **files: str | bytes) -> None:
        """Put other content in place, in one step: whoever reads sees all of the old or all of the new."""
        version = self.directory / f"..version_{next(self._versions)}"
        version.mkdir(parents=True)
        for name, content in files.items():
            (version / name).write_bytes(content if isinstance(content, bytes) else content.encode())
            (version / name).chmod(0o600)
            if not (self.directory / name).is_symlink():
                (self.directory / name).symlink_to(f"..data/{name}")
        data, fresh = self.directory / "..data", self.directory / "..data_tmp"
        before = data.resolve() if data.is_symlink() else None
        fresh.symlink_to(version.name)
        fresh.replace(data)
        for link in self.directory.iterdir():
            if not link.name.startswith("..") and link.name not in files:
                link.unlink()
        if before:
            rmtree(before)
