"""Clients of Dask clusters: one that is there, or one of this machine's own."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backlit.errors import ClusterError, SettingError

#: seconds that a scheduler may take to answer
ANSWER = 10.0


@contextmanager
def connect(
    address: str,
    *,
    tls_ca: str | Path | None = None,
    tls_cert: str | Path | None = None,
    tls_key: str | Path | None = None,
    security: Any = None,
    timeout: float = 30.0,
) -> Iterator[Any]:
    """Connect to a cluster, or start one on this machine for the time being.

    Parameters
    ----------
    address : str
        ``tcp://host:port`` or ``tls://host:port`` of a scheduler; ``local`` for a worker process
        on each core that this process may use, ``local:N`` for N of them. Local clusters bind to
        the loopback interface only.
    tls_ca, tls_cert, tls_key : path, optional
        Certificate authority, certificate and key in PEM files, for both sides of each connection.
    security : distributed.Security, optional
        The same as Dask's own object.
    timeout : float, default 30
        Seconds that connecting may take.

    Yields
    ------
    distributed.Client
        Dask's current client within the block, so that its collections and our estimators compute
        there. Closed, and a local cluster ended, when the block is left.

    Raises
    ------
    SettingError
        If the address or the TLS files have no meaning, or Dask is not installed.
    ClusterError
        If no scheduler answers.
    """
    import distributed

    security = security or _security(tls_ca, tls_cert, tls_key)
    name, _, count = address.partition(":")
    if name == "local":
        with _local(count, address, security, timeout) as client, client.as_current():
            yield client
        return
    if "://" not in address:
        raise SettingError(
            f"cluster is {address!r}, expected local, local:N, or a scheduler's address such as "
            "tcp://10.0.0.1:8786."
        )
    if address.startswith("tls://") and security is None:
        raise SettingError(f"{address} needs --tls-ca, --tls-cert and --tls-key.")
    try:
        client = distributed.Client(
            address,
            timeout=timeout,
            security=security,
            direct_to_workers=True,
            set_as_default=False,
        )
    except (OSError, TimeoutError, ValueError, TypeError, RuntimeError) as error:
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ClusterError(f"No scheduler answers at {address} ({why}).") from error
    try:
        with client.as_current():
            yield client
    finally:
        client.close(timeout=2)


@contextmanager
def _local(count: str, address: str, security: Any, timeout: float) -> Iterator[Any]:
    import distributed

    from backlit._cores import available_cores

    n = available_cores()
    if ":" in address:
        if not count.isdigit() or int(count) < 1:
            raise SettingError(f"cluster is {address!r}, expected local:N with N of at least 1.")
        n = int(count)
    with (
        distributed.LocalCluster(
            n_workers=n,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            security=security,
            silence_logs=50,
            protocol="tls" if security else None,
        ) as cluster,
        distributed.Client(
            cluster,
            timeout=timeout,
            direct_to_workers=True,
            set_as_default=False,
            security=security,
        ) as client,
    ):
        yield client


def _security(ca: Any, cert: Any, key: Any) -> Any:
    """Return Dask's object for three files, or None for none."""
    given = {"tls_ca_file": ca, "tls_client_cert": cert, "tls_client_key": key}
    if not any(given.values()):
        return None
    if not all(given.values()):
        raise SettingError("--tls-ca, --tls-cert and --tls-key go together; give all three.")
    for path in given.values():
        if not Path(path).is_file():
            raise SettingError(f"{path}: no such file, expected a PEM file for TLS.")
    from distributed.security import Security

    files = {name: str(path) for name, path in given.items()}
    for role in ("scheduler", "worker"):
        files |= {f"tls_{role}_cert": str(cert), f"tls_{role}_key": str(key)}
    return Security(require_encryption=True, **files)


def current_client() -> Any:
    """Return Dask's current client, or None where there is none."""
    try:
        from distributed import Client

        return Client.current()
    except (ImportError, ValueError):
        return None


def gathered(client: Any, tasks: list[Any], what: str, timeout: float) -> list[Any]:
    """Compute delayed tasks, on a cluster or in this process, and return their results.

    Parameters
    ----------
    client : distributed.Client or None
        The cluster.
    tasks : list of Delayed
        The tasks.
    what : str
        What they do, for messages.
    timeout : float
        Seconds that they may take.

    Raises
    ------
    ClusterError
        If the scheduler is lost, or time is out. Errors of the tasks are raised as they are.
    """
    if client is None:
        import dask

        return list(dask.compute(*tasks, scheduler="synchronous"))
    futures = client.compute(tasks)
    until = time.monotonic() + timeout
    while not all(future.done() for future in futures):
        check_alive(client)
        if time.monotonic() > until:
            raise ClusterError(f"{what} took more than {timeout:g} seconds.")
        time.sleep(0.01)
    return [future.result(timeout=timeout) for future in futures]


def check_alive(client: Any) -> None:
    """Raise where the connection to the scheduler is lost.

    Raises
    ------
    ClusterError
        If it is.
    """
    if client.status != "running":
        raise ClusterError("The scheduler is lost.")


def workers_of(client: Any) -> list[str]:
    """Return the addresses of the workers that a scheduler knows.

    Raises
    ------
    ClusterError
        If it does not answer.
    """
    check_alive(client)
    try:
        return list(client.sync(client.scheduler.ncores, callback_timeout=ANSWER))
    except (OSError, TimeoutError) as error:
        raise ClusterError(f"The scheduler is lost ({type(error).__name__}).") from error
