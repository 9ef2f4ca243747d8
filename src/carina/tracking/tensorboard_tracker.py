"""Records go to a folder that TensorBoard shows."""

import json
from pathlib import Path
from typing import Any

from carina.tracking.record import Record, Tracker


def tensorboard_tracker(folder: Path) -> Tracker:
    """Return what writes events into a folder. TensorFlow writes them; the package tensorboard only shows them."""
    import tensorflow as tf  # noqa: PLC0415  # seconds to import

    # What `tf.summary.scalar` and `tf.summary.text` write; those need the package tensorboard.
    kinds: dict[str, Any] = {}
    for plugin, data_class in (("scalars", 1), ("text", 2)):
        kinds[plugin] = tf.compat.v1.SummaryMetadata(data_class=data_class)
        kinds[plugin].plugin_data.plugin_name = plugin

    def write(record: Record) -> None:
        place = _free_place(folder / f"{record.kind} {record.name}".replace("/", "_"))
        with tf.summary.create_file_writer(str(place)).as_default():
            for name, values in record.curves.items():
                for epoch, value in enumerate(values, start=1):
                    tf.summary.write(name, tf.constant(value, tf.float32), epoch, kinds["scalars"])
            for name, value in record.metrics.items():
                tf.summary.write(name, tf.constant(value, tf.float32), 0, kinds["scalars"])
            settings = json.dumps({**record.parameters, **record.tags}, indent=2, ensure_ascii=False)
            texts = {"parameters": f"```\n{settings}\n```"}
            texts["files"] = "\n".join(f"- {path.name}" for path in record.artefacts)
            for name, text in texts.items():
                tf.summary.write(name, tf.constant([text]), 0, kinds["text"])

    return write


def _free_place(wanted: Path) -> Path:
    """Return a folder that is not there yet: two runs of one recipe are two."""
    number, place = 1, wanted
    while place.exists():
        number += 1
        place = wanted.with_name(f"{wanted.name} ({number})")
    return place
