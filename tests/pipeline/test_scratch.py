import os
import signal
import subprocess
import sys
from pathlib import Path

from gpu_worker.pipeline.scratch import scratch_folder
from tests.pipeline.rig import until

ROOT = Path(__file__).parents[2]
HOLDER = (
    "import time\nfrom gpu_worker.pipeline.scratch import scratch_folder\n"
    "with scratch_folder() as folder:\n    (folder / 'audio').write_bytes(bytes(9))\n"
    "    print(folder, flush=True)\n    time.sleep(3600)"
)


def test_the_folder_is_gone_after_the_block():
    with scratch_folder() as folder:
        (folder / "audio").write_bytes(bytes(9))
    assert not folder.exists()


def test_a_kill_of_the_whole_process_group_leaves_no_file(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        cwd=ROOT,
        env={"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        folder = Path(process.stdout.readline().strip())
        assert folder.parent == tmp_path
        os.killpg(process.pid, signal.SIGKILL)
    until(lambda: not folder.exists())
