"""An organization with agents in every part, each with a client that has its token."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rest_framework.test import APIClient

from agents.actions import create_token
from agents.activity import SYSTEM
from agents.models import Agent, Gateway, Organization
from boards.actions import create_task
from boards.actions.onboarding import start_onboarding
from boards.models import Board, Task, Webhook, WebhookPayload
from tests.factories import API, make_agent, make_board, make_organization, make_seat

AGENT = f"{API}/agent"


def with_token(agent: Agent) -> APIClient:
    """A client that carries a new token of the agent."""
    _, secret = create_token(agent, by=SYSTEM)
    client = APIClient()
    client.credentials(HTTP_X_AGENT_TOKEN=secret)
    return client


@dataclass
class World:
    """A board with a lead and a worker, beside another board and another organization."""

    organization: Organization = field(default_factory=make_organization)

    def __post_init__(self) -> None:
        self.board: Board = make_board(self.organization, name="Owls")
        self.lead = make_seat(self.board, "lead", name="Lena")
        self.worker = make_seat(self.board, name="Wim")
        self.other_board: Board = make_board(self.organization, name="Bats")
        self.other_lead = make_seat(self.other_board, "lead", name="Bea")
        self.gateway = Gateway.objects.create(organization=self.organization, name="The inbox")
        self.main = make_agent(self.organization, name="Max", gateway=self.gateway)
        self.stranger_board = make_board(make_organization())
        self.stranger = make_seat(self.stranger_board, "lead", name="Sam")
        self.webhook = Webhook.objects.create(board=self.board, name="From outside")
        self.payload = WebhookPayload.objects.create(webhook=self.webhook, body="0123456789")

    def task(self, **fields: Any) -> Task:
        return create_task(self.board, {"title": "Count", **fields}, by=SYSTEM)

    def begin_onboarding(self) -> None:
        start_onboarding(self.board, by=SYSTEM)

    @property
    def home(self) -> str:
        """The board's address in the agent API."""
        return f"{AGENT}/boards/{self.board.id}"
