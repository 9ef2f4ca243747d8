"""TorchXRayVision's DenseNet121 as its documentation uses it, for beside_torchxrayvision.py; it needs no Carina.

Each line on standard input is a JSON list of paths. The answer is one JSON line: the seconds from files to outputs.
The first line that is printed says what it computes with.
"""

import json
import sys
import time
from typing import Any

import numpy as np

_BATCH = 32


def import_torchvision() -> Any:
    """Return torchvision, also where its compiled operators do not fit the installed torch; none is used here."""
    import torch  # noqa: PLC0415

    describe, torch.library.register_fake = torch.library.register_fake, lambda *_, **__: lambda function: function
    try:
        import torchvision  # noqa: PLC0415
    finally:
        torch.library.register_fake = describe
    return torchvision


def main() -> None:
    """Answer until standard input ends."""
    threads = int(sys.argv[1])
    import torch  # noqa: PLC0415

    torchvision = import_torchvision()
    import skimage.io  # noqa: PLC0415
    import torchxrayvision  # noqa: PLC0415

    torch.set_num_threads(threads)
    # Its trained weights are a download; the time does not depend on them.
    model = torchxrayvision.models.DenseNet(num_classes=18)
    model.eval()
    shape = torchvision.transforms.Compose(
        [torchxrayvision.datasets.XRayCenterCrop(), torchxrayvision.datasets.XRayResizer(224)]
    )

    def read(path: str) -> Any:
        grey = torchxrayvision.datasets.normalize(skimage.io.imread(path), 255)
        return shape((grey if grey.ndim == 2 else grey.mean(2))[None])

    def judge(paths: list[str]) -> None:
        with torch.inference_mode():
            for start in range(0, len(paths), _BATCH):
                images = torch.from_numpy(np.stack([read(path) for path in paths[start : start + _BATCH]])).float()
                model(images).numpy()

    versions = {"torch": torch.__version__, "torchxrayvision": torchxrayvision.__version__}
    sys.stdout.write(json.dumps({"versions": versions, "weights": "random", "threads": torch.get_num_threads()}) + "\n")
    sys.stdout.flush()
    for line in sys.stdin:
        paths = json.loads(line)
        started = time.perf_counter()
        judge(paths)
        sys.stdout.write(json.dumps(time.perf_counter() - started) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
