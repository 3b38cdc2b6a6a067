"""A worker process over everything in memory, for tests that end one: `stubborn_worker.py PASS_S PASS_TIMEOUT_S`.

It gets 40 items of one second, prints a line of JSON at each pass and, at its end, what its queue then holds.
"""

import json
import os
import signal
import sys
import threading

from tests.pipeline.makers import wav
from tests.pipeline.rig import RecordingEngine, Rig


def main(pass_s: float, pass_timeout_s: float) -> int:
    rig = Rig(RecordingEngine(pass_s=pass_s), pass_timeout_s=pass_timeout_s)
    batch = rig.submit(*[wav(1.0)] * 40)
    flow = rig.flow()
    signal.signal(signal.SIGTERM, lambda *_: flow.stop())

    def tell() -> None:
        backlog = rig.queue.backlog()
        done = sum(item.status.is_final for item in rig.items(batch))
        print(json.dumps({"visible": backlog.visible, "in_flight": backlog.in_flight, "done": done}), flush=True)

    def announce_passes() -> None:
        while True:
            rig.engine.began.acquire()
            print(json.dumps({"pass_of": len(rig.engine.passes[-1])}), flush=True)

    threading.Thread(target=announce_passes, daemon=True).start()
    # The worker ends itself by os._exit, after which nothing else can speak.
    leave = os._exit
    os._exit = lambda status: (tell(), leave(status))
    status = flow.run()
    tell()
    return status


if __name__ == "__main__":
    sys.exit(main(*map(float, sys.argv[1:])))
