"""Refusals that belong to single actions of this app."""

from agents.errors import Refusal


class UnknownTool(Refusal):
    """There is no tool of that name."""

    code = "UNKNOWN_TOOL"
    status_code = 400


class OrganizationSlugTaken(Refusal):
    """Another organization has this slug."""

    code = "ORGANIZATION_SLUG_TAKEN"


class AlreadyMember(Refusal):
    """This person is a member already; change the role instead."""

    code = "ALREADY_MEMBER"


class ScopeTooWide(Refusal):
    """A key with scopes creates no key with other scopes than its own."""

    code = "SCOPE_TOO_WIDE"
    status_code = 403


class Gone(Refusal):
    """What this is about was deleted in the meantime."""

    code = "GONE_MEANWHILE"
    status_code = 404


class PeopleOnly(Refusal):
    """Only a person can own an organization, so only a signed-in person founds one."""

    code = "PEOPLE_ONLY"
    status_code = 403
