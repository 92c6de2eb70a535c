"""Addresses, TLS with certificates of one's own, and loopback unless told otherwise."""

import subprocess

import psutil
import pytest

from backlit.cluster import connect
from backlit.errors import ClusterError, SettingError


def test_a_local_cluster_is_on_loopback_and_leaves_nothing(client):
    addresses = [client.scheduler.address, *client.nthreads()]
    assert all(address.startswith("tcp://127.0.0.1:") for address in addresses)
    assert set(client.nthreads().values()) == {1}
    here = psutil.Process()
    for process in (here, *here.children(recursive=True)):
        for one in process.net_connections("inet"):
            if one.status == psutil.CONN_LISTEN:
                assert one.laddr.ip == "127.0.0.1"


def test_workers_take_one_core_each(client):
    from backlit._cores import available_cores

    assert set(client.run(available_cores).values()) == {1}


@pytest.mark.parametrize(
    ("address", "error", "match"),
    [
        ("local:0", SettingError, "local:N with N of at least 1"),
        ("local:x", SettingError, "local:N with N of at least 1"),
        ("somewhere", SettingError, "expected local, local:N, or a scheduler's address"),
        ("tls://127.0.0.1:1", SettingError, "needs --tls-ca, --tls-cert and --tls-key"),
        ("tcp://127.0.0.1:1", ClusterError, "No scheduler answers at tcp://127.0.0.1:1"),
    ],
)
def test_addresses_that_lead_nowhere(address, error, match):
    with pytest.raises(error, match=match), connect(address, timeout=0.5):
        pass


def test_tls_files_go_together(tmp_path):
    (tmp_path / "a.pem").write_text("")
    with pytest.raises(SettingError, match="go together"), connect("local", tls_ca="a.pem"):
        pass
    with (
        pytest.raises(SettingError, match="no such file"),
        connect("local", tls_ca="no.pem", tls_cert="no.pem", tls_key="no.pem"),
    ):
        pass


def test_tls_with_a_certificate_of_ones_own(tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    files = {"tls_ca": certificate, "tls_cert": certificate, "tls_key": key}
    with connect("local:1", **files) as client:
        client.wait_for_workers(1, timeout=60)
        address = client.scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        assert all(one.startswith("tls://127.0.0.1:") for one in client.nthreads())
        with connect(address, **files) as second:
            assert second.submit(sum, [1, 2]).result(timeout=60) == 3
        with pytest.raises(SettingError, match="needs --tls-ca"), connect(address):
            pass
