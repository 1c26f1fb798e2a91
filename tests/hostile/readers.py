"""Every reader, by name."""

from hostile import digits, exports, keras_files, pictures, runs, tables
from hostile.oracle import Reader

ROOMS = (digits, tables, pictures, keras_files, exports, runs)
READERS: dict[str, Reader] = {name: reader for room in ROOMS for name, reader in room.READERS.items()}
