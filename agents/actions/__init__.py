"""Every write of organizations, members, credentials and agents, each in one transaction."""

from agents.actions.agents import (
    configure_agent,
    create_agent,
    delete_agent,
    pause_agent,
    unpause_agent,
    write_soul,
)
from agents.actions.credentials import (
    KeyTerms,
    create_key,
    create_token,
    revoke_key,
    revoke_token,
    rotate_token,
)
from agents.actions.endpoints import (
    change_endpoint,
    create_endpoint,
    delete_endpoint,
    give_up,
    ping,
    redeliver,
    redeliver_failed,
    rotate_endpoint_secret,
)
from agents.actions.gateways import (
    change_gateway,
    create_gateway,
    delete_gateway,
    rotate_gateway_secret,
)
from agents.actions.organizations import (
    add_member,
    change_member,
    create_organization,
    remove_member,
    update_organization,
)

__all__ = [
    "KeyTerms",
    "add_member",
    "change_endpoint",
    "change_gateway",
    "change_member",
    "configure_agent",
    "create_agent",
    "create_endpoint",
    "create_gateway",
    "create_key",
    "create_organization",
    "create_token",
    "delete_agent",
    "delete_endpoint",
    "delete_gateway",
    "give_up",
    "pause_agent",
    "ping",
    "redeliver",
    "redeliver_failed",
    "remove_member",
    "revoke_key",
    "revoke_token",
    "rotate_endpoint_secret",
    "rotate_gateway_secret",
    "rotate_token",
    "unpause_agent",
    "update_organization",
    "write_soul",
]
