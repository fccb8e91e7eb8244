"""Processes that find themselves as torchrun would have started them, forked: what is imported is imported."""

import os
import socket
import traceback
from multiprocessing import get_context


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _begin(work, rank, count, port):
    place = {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "test"}
    os.environ |= {name: str(value) for name, value in (place | address).items()}
    try:
        work(rank)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)  # none of pytest's endings


def in_processes(count, work):
    """work(rank) in `count` processes at once; exit codes by rank."""
    context, port = get_context("fork"), _free_port()
    processes = [context.Process(target=_begin, args=(work, rank, count, port)) for rank in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        process.kill()
        process.join()
    return [process.exitcode for process in processes]
