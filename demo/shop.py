"""A small live shop: orders go into a SQLite database in WAL mode, five a second, now and then a file.

python demo/shop.py FOLDER

Runs until it is told to end. Each order is one transaction; the clock of its row is UTC.
"""

from __future__ import annotations

import random
import signal
import sqlite3
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

GOODS = ("teapot", "kettle", "strainer", "mug", "oolong", "sencha", "assam", "biscuits")
PAUSE_S = 0.2
ORDERS_TO_A_RECEIPT = 10
MOST_RECEIPTS = 40


def open_shop(folder: Path) -> sqlite3.Connection:
    """Create database and folder of receipts, with a first order and a first receipt in them."""
    (folder / "receipts").mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(folder / "shop.sqlite", isolation_level=None, timeout=10)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS orders"
        " (id INTEGER PRIMARY KEY, created TEXT NOT NULL, goods TEXT NOT NULL, pence INTEGER NOT NULL)"
    )
    write_receipt(folder, sell(connection))
    return connection


def sell(connection: sqlite3.Connection) -> int:
    """Take one order and return its number."""
    goods, pence = random.choice(GOODS), random.randrange(150, 9900)
    created = datetime.now(UTC).isoformat(timespec="milliseconds")
    cursor = connection.execute(
        "INSERT INTO orders (created, goods, pence) VALUES (?, ?, ?)", (created, goods, pence)
    )
    return int(cursor.lastrowid or 0)


def write_receipt(folder: Path, order: int) -> None:
    number = order // ORDERS_TO_A_RECEIPT % MOST_RECEIPTS
    receipt = folder / "receipts" / f"receipt-{number:02}.txt"
    receipt.write_text(f"Order {order}. Thank you for your custom.\n" * 20, encoding="utf-8")


def main(folder: Path) -> None:
    closing = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: closing.set())
    connection = open_shop(folder)
    while not closing.wait(PAUSE_S):
        order = sell(connection)
        if order % ORDERS_TO_A_RECEIPT == 0:
            write_receipt(folder, order)
    connection.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
