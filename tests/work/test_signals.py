"""Signals that are heard at once, in processes of their own: only a main thread may ask for them."""

from __future__ import annotations

import subprocess
import sys

HEARD = """
import queue, signal, threading
from snapd.signals import heard

letters = queue.SimpleQueue()

def send(*numbers):
    for number in numbers:
        signal.pthread_kill(threading.get_ident(), number)

with heard({signal.SIGTERM: lambda: letters.put("stop"), signal.SIGHUP: lambda: letters.put("hangup")}):
    NUMBERS
    threading.Thread(target=send, args=numbers).start()
    print(*(letters.get(timeout=100) for _ in range(2)))
print(threading.active_count(), signal.set_wakeup_fd(-1))
"""


def run(numbers: str) -> str:
    program = HEARD.replace("NUMBERS", numbers)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_signal_that_another_thread_gets_while_the_main_one_waits_is_heard_at_once() -> None:
    assert run("numbers = (signal.SIGHUP, signal.SIGTERM)").splitlines()[0] == "hangup stop"


def test_a_signal_that_nobody_asked_for_is_not_heard_and_nothing_is_left_behind() -> None:
    numbers = "signal.signal(signal.SIGUSR1, lambda *_: None); "
    numbers += "numbers = (signal.SIGUSR1, signal.SIGTERM, signal.SIGHUP)"
    assert run(numbers) == "stop hangup\n1 -1\n"
