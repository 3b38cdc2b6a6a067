"""A program for `isolated_child` without a model: it does what the texts say, good and bad.

Any other text is said as a tone, 100 samples a character, as loud as the voice is.
"""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from gpu_worker.engines.isolated_child import Frame, LostDeviceError, OutOfMemoryError, UnusableModelError


class Obedient:
    def __init__(self, options):
        self.options = options
        self.loads = 0
        self.device_bytes = 0

    def load(self):
        self.loads += 1
        match self.options.get("load"):
            case "unusable":
                raise UnusableModelError("There is no such checkpoint.")
            case "no room" if self.loads == 1:
                raise OutOfMemoryError("full")
            case "bug":
                raise KeyError("weights")
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "die at first" if not Path(self.options["mark"]).exists():
                Path(self.options["mark"]).touch()
                os.kill(os.getpid(), signal.SIGKILL)
        print("loading", "x" * 2000, flush=True)
        self.device_bytes = 1000
        return {"languages": ["en", "de", "xx"], "device_bytes": self.device_bytes}

    def park(self):
        if self.options.get("park") == "bug":
            raise RuntimeError("no")
        self.device_bytes = 0
        return {"device_bytes": 0}

    def run(self, head, arrays):
        assert self.device_bytes, "parked"
        outcomes, said = [], []
        for one in head["inputs"]:
            text = one["text"]
            self._obey(text, head)
            if text == "refuse":
                outcomes.append({"refused": ["text_empty", "no"]})
                continue
            if text == "environment":
                outcomes.append({"refused": ["environment", " ".join(os.environ)]})
                continue
            size = 0 if text == "silence" else 100 * len(text)
            loud = float(np.abs(arrays[one["voice"]]).max())
            said.append(np.full(size, np.nan if text == "not a number" else loud, dtype=np.float32))
            outcomes.append({"is_truncated": text == "cut"})
        if head["inputs"][0]["text"] == "forget one":
            outcomes.pop()
        return Frame({"outcomes": outcomes, "device_bytes": self.device_bytes + 1}, said)

    def _obey(self, text, head):
        match text:
            case "die":
                os.kill(os.getpid(), signal.SIGKILL)
            case "leave":
                os._exit(7)
            case "hang":
                time.sleep(3600)
            case "too much" if len(head["inputs"]) > 1:
                raise OutOfMemoryError("full")
            case "lose the device":
                raise LostDeviceError("gone")
            case "fail":
                raise ValueError(f"cannot say {text}")
            case "talk":
                print("the item says", text, flush=True)
                time.sleep(0.2)
            case "garbage":
                os.write(int(sys.argv[1]), b"\xff" * 100)
            case "no json":
                os.write(int(sys.argv[1]), b"\x04\0\0\0{{{{")
            case "boundless":
                size = b'{"sizes": [999999999999]}'
                os.write(int(sys.argv[1]), len(size).to_bytes(4, "little") + size)
            case "half":
                os.write(int(sys.argv[1]), b"\x20\0\0\0{")
                os._exit(0)


def create(options):
    return Obedient(options)
