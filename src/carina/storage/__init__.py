"""Files that are written whole or not at all: text, arrays, tables, caches and sealed folders."""
