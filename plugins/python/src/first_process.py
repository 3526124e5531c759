"""Ends the application on SIGTERM when it is the first process of its container.

The kernel gives that process no default for signals: one without a handler of its own would never end.
"""
import os
import signal
import sys
import threading

LAST_WORDS_S = 5


def stop(number, frame):
    if os.getpid() != 1:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return
    late = threading.Timer(LAST_WORDS_S, os._exit, (128 + number,))
    late.daemon = True
    late.start()
    sys.exit(128 + number)


if os.getpid() == 1 and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
    signal.signal(signal.SIGTERM, stop)
