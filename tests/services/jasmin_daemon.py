"""Runs Jasmin with the options of its own `jasmind.py`, but without that script's lock.

The lock is one file in /tmp for the whole machine, and stays there when the process is killed: the next
Jasmin, whoever starts it, would not run.
"""

import signal

from jasmin.bin.jasmind import JasminDaemon, Options
from twisted.internet import reactor

options = Options()
options.parseOptions()
daemon = JasminDaemon(options)
signal.signal(signal.SIGTERM, daemon.sighandler_stop)
daemon.start()
reactor.run()
