"""An app that is not JavaScript: it notes the time every tenth of a second, until it is told to end."""

import signal
import sqlite3
import threading

ended = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: ended.set())

database = sqlite3.connect("app.sqlite", timeout=5)
database.execute("PRAGMA journal_mode = WAL")
database.execute("CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, at TEXT NOT NULL)")
print("writing to app.sqlite", flush=True)
while not ended.wait(0.1):
    with database:
        database.execute("INSERT INTO notes (at) VALUES (strftime('%Y-%m-%d %H:%M:%f', 'now'))")
database.close()
