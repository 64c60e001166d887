"""The way to the broker, and the broker."""

from __future__ import annotations

import socket
import ssl

from agent import parts
from agent.core.network_gate import rules_of, why_wait
from agent.doctor.finding import Finding, Visit, bad, good, warn
from agent.drivers.clock_system import SystemClock
from agent.services.uplink_gate import local_minute

CONNECT_TIMEOUT_S = 5.0


def check_broker(visit: Visit) -> Finding:
    uplink = visit.settings.uplink
    where = f"{uplink.host}:{uplink.port}"
    try:
        context = ssl.create_default_context(cafile=uplink.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(uplink.cert_file, uplink.key_file)
    except (OSError, ssl.SSLError) as exc:
        return bad(
            "broker",
            f"not tried: {uplink.ca_file}, {uplink.cert_file} or {uplink.key_file} cannot be"
            f" used ({exc.strerror or exc})",
            "provision the device again",
        )
    try:
        with (
            socket.create_connection((uplink.host, uplink.port), CONNECT_TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=uplink.host) as secured,
        ):
            version = secured.version()
    except ssl.SSLCertVerificationError as exc:
        fact = f"{where}: its certificate is not trusted ({exc.verify_message})"
        return bad("broker", fact, "check uplink.ca_file and uplink.host")
    except (OSError, ssl.SSLError) as exc:
        return warn(
            "broker",
            f"{where}: {exc.strerror or exc}",
            "recording goes on and clips wait; check the network and uplink.host",
        )
    return good("broker", f"{where} answers over {version}")


def check_network(visit: Visit) -> Finding:
    sensor = parts.build_surroundings(visit.settings)
    sensor.settle(CONNECT_TIMEOUT_S)
    now = sensor.read()
    cost = {True: ", metered", False: "", None: ", perhaps metered"}[now.is_metered]
    fact = f"{now.interface or 'no way'} to the broker{cost}"
    why = why_wait(rules_of(visit.settings.network), now, local_minute(SystemClock()))
    if why:
        remedy = "as [network] in the settings says; clips go on when that changes"
        return warn("network", f"{fact}: clips wait ({why})", remedy)
    return good("network", f"{fact}: clips may be sent")
