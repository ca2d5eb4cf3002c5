"""Sets a board up by an interview: questions, answers, and the draft that comes of them.

Every write holds the session's row; `founding.confirm_draft` holds its board's before it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.exceptions import ErrorDetail
from rest_framework.exceptions import ValidationError as InvalidFields

from agents import messages
from agents.actions import configuration as of_agents
from agents.activity import Actor, Target, record
from agents.errors import Refusal
from agents.models import ActorKind, Agent, MessageKind
from boards import drafts, interview
from boards.interviewers import ASKS_BY, correlation_of, has_open_question, main_agents
from boards.models import Board, Interviewer, OnboardingSession, OnboardingStatus, Seat, SeatRole

# A main agent asks 6 to 10; fewer are no mistake where people have said enough.
FEWEST_QUESTIONS, MOST_QUESTIONS = 6, 10
_LONG = {"type": "string", "maxLength": 20_000}
OPTIONS_SHAPE: dict[str, Any] = {
    "type": "array",
    "items": {"type": "string", "minLength": 1, "maxLength": 500},
    "maxItems": 20,
}
LIVE = (OnboardingStatus.ACTIVE, OnboardingStatus.COMPLETED)
Check = Callable[[OnboardingSession], None]


class OnboardingNotFound(Refusal):
    """The board has no onboarding session; a person starts one."""

    code = "ONBOARDING_NOT_FOUND"
    status_code = 404


class QuestionNotFound(Refusal):
    """The interview has no such question."""

    code = "ONBOARDING_QUESTION_NOT_FOUND"
    status_code = 404


class OnboardingOpen(Refusal):
    """The board is being set up already; confirm what is there, or cancel it first."""

    code = "ONBOARDING_ALREADY_OPEN"


class OnboardingConfirmed(Refusal):
    """The draft was confirmed; nothing is added to it."""

    code = "ONBOARDING_CONFIRMED"


class InterviewOver(Refusal):
    """The draft is finished or the questions are too many; only another draft is taken."""

    code = "ONBOARDING_INTERVIEW_OVER"


class InterviewBuiltIn(Refusal):
    """People answer the built-in interview instead; nothing of an agent is taken beside it."""

    code = "ONBOARDING_BUILT_IN"


class DraftEdited(Refusal):
    """People have changed the draft; another one would undo that."""

    code = "ONBOARDING_DRAFT_EDITED"


class NotFinished(Refusal):
    """The interview is not over; there is no draft yet."""

    code = "ONBOARDING_NOT_FINISHED"


class NothingToAnswer(Refusal):
    """No question is open."""

    code = "ONBOARDING_NOTHING_TO_ANSWER"


class MainAgentMissing(Refusal):
    """No main agent can be asked: one without a seat, not paused, with a gateway that is on. Start
    the built-in interview instead."""

    code = "MAIN_AGENT_MISSING"


@transaction.atomic
def start_onboarding(
    board: Board, *, by: Actor, interviewer: str = "", agent: Agent | None = None
) -> OnboardingSession:
    """Begin the interview of a board, by a main agent or with the built-in questions.

    Without an `interviewer` a main agent asks if there is one; without an `agent`, the oldest.
    Raises `OnboardingOpen`, `MainAgentMissing`, `ValidationError`.
    """
    asks = _chosen(board, interviewer, agent)
    how = Interviewer.BUILT_IN if asks is None else Interviewer.MAIN_AGENT
    session = _insert(OnboardingSession(board=board, interviewer=how, agent=asks))
    _tell("onboarding.started", session, by, interviewer=how, agent_id=asks and str(asks.id))
    if asks is None:
        _ask_next(session)
    else:
        _say(session, asks, MessageKind.ONBOARDING, briefing(session), by)
    return session


@transaction.atomic
def take_over(
    board: Board, *, by: Actor, only: OnboardingSession | None = None
) -> OnboardingSession:
    """Go on with the built-in interview in place of a main agent; repeated, it changes nothing.

    What was asked and answered stays. An answer about a field of the draft that the built-in
    interview understands answers its question too, and can be changed. Raises
    `OnboardingNotFound`, `OnboardingConfirmed`, `InterviewOver`.
    """
    session = _live(board, only)
    if session.interviewer == Interviewer.BUILT_IN:
        return session
    if session.status != OnboardingStatus.ACTIVE:
        raise InterviewOver
    answered = [asked for asked in session.questions if "answer" in asked]
    session.questions = [*answered, *_carried(answered)]
    session.interviewer = Interviewer.BUILT_IN
    _ask_next(session, "interviewer")
    _tell("onboarding.taken_over", session, by)
    _say_over(session, "People go on with the built-in interview.", by)
    return session


@transaction.atomic
def cancel_onboarding(
    board: Board, *, by: Actor, only: OnboardingSession | None = None
) -> OnboardingSession:
    """Give the setting-up up; the board stays as it is, and another can be started.

    Raises `OnboardingNotFound`, `OnboardingConfirmed`.
    """
    session = _live(board, only)
    _write(session, status=OnboardingStatus.CANCELLED)
    _tell("onboarding.cancelled", session, by)
    _say_over(session, "The setting-up was cancelled.", by)
    return session


@transaction.atomic
def ask_question(
    board: Board, question: str, *, by: Actor, options: Sequence[str] = (), about: str = ""
) -> OnboardingSession:
    """Put an agent's next question, with answers to choose from if there are any.

    `about` is the field of the draft that the answer is for. Raises `OnboardingNotFound`,
    `OnboardingConfirmed`, `InterviewBuiltIn`, `InterviewOver`, `ValidationError`.
    """
    of_agents.check(
        {"question": question, "options": list(options)},
        {"question": check_question, "options": check_options},
    )
    session = _of_agents(board)
    finished = session.status != OnboardingStatus.ACTIVE
    if finished or len(session.questions) >= MOST_QUESTIONS:
        raise InterviewOver
    asked: dict[str, Any] = {"key": f"q{len(session.questions) + 1}", "question": question}
    more: dict[str, Any] = {"options": list(options), "about": about}
    if by.kind == ActorKind.AGENT:
        more["asked_by"] = str(by.id)
        # Whichever main agent asks is the one that is told the answer, and waited for.
        session.agent_id = by.id
    asked |= {name: value for name, value in more.items() if value}
    _write(session, questions=[*session.questions, asked], agent_id=session.agent_id)
    _tell("onboarding.question_asked", session, by, question=question[:500])
    return session


@transaction.atomic
def answer_question(board: Board, answer: str, *, by: Actor, key: str = "") -> OnboardingSession:
    """Answer the oldest open question, or the one of this key, also if it has an answer.

    The agent that asked it is told; the built-in interview asks its next question, or is over.
    Raises `OnboardingNotFound`, `OnboardingConfirmed`, `InterviewOver`, `QuestionNotFound`,
    `NothingToAnswer`, `ValidationError`.
    """
    of_agents.check({"answer": answer}, {"answer": check_question})
    session = _live(board)
    if session.status != OnboardingStatus.ACTIVE:
        raise InterviewOver
    asked = _asked(session, key)
    before = asked.get("answer")
    if before == answer:
        return session
    asked["answer"] = answer
    if asked["key"] in interview.STEP:
        asked["value"] = _understood(asked["key"], answer)
    event = "answered" if before is None else "answer_changed"
    _tell(f"onboarding.question_{event}", session, by, question=asked["question"][:500])
    if session.interviewer == Interviewer.BUILT_IN:
        _ask_next(session)
    else:
        _write(session, questions=session.questions)
        _tell_interviewer(session, asked, by)
    return session


@transaction.atomic
def finish_draft(board: Board, draft: Mapping[str, Any], *, by: Actor) -> OnboardingSession:
    """Hand in an agent's draft, or another one until people change or confirm it.

    Raises `OnboardingNotFound`, `OnboardingConfirmed`, `InterviewBuiltIn`, `DraftEdited`,
    `ValidationError`.
    """
    drafts.check(draft)
    session = _of_agents(board)
    if session.draft_edited_at is not None:
        raise DraftEdited
    _write(session, draft=draft, status=OnboardingStatus.COMPLETED)
    _tell("onboarding.draft_finished", session, by)
    return session


@transaction.atomic
def edit_draft(
    board: Board, changes: Any, *, by: Actor, check: Check = lambda _: None
) -> OnboardingSession:
    """Change fields of the draft before it is confirmed. `check` is asked under the lock.

    Raises `OnboardingNotFound`, `OnboardingConfirmed`, `NotFinished`, `ValidationError`.
    """
    drafts.check_changes(changes)
    session = _live(board)
    check(session)
    if session.status != OnboardingStatus.COMPLETED:
        raise NotFinished
    before: dict[str, Any] = dict(session.draft or {})
    changed = sorted(name for name in changes if before.get(name) != changes[name])
    if changed:
        _write(session, draft={**before, **changes}, draft_edited_at=timezone.now())
        _tell("onboarding.draft_edited", session, by, changed=changed)
    return session


@transaction.atomic
def take_turn(session: OnboardingSession) -> OnboardingSession | None:
    """Note that a run of the interviewer begins, once for all that it was told since the last.

    None where there is nothing for it to do: it is over, a question is open, or it has begun.
    """
    rows = OnboardingSession.objects.select_for_update(no_key=True, of=("self",))
    rows = rows.select_related("board", "agent").filter(
        pk=session.pk, status=OnboardingStatus.ACTIVE, interviewer=Interviewer.MAIN_AGENT
    )
    locked = rows.first()
    if locked is None or locked.heard >= locked.said or has_open_question(locked):
        return None
    # Not by a save: that it begins is not said by the interviewer, whose silence is counted.
    OnboardingSession.objects.filter(pk=locked.pk).update(heard=locked.said)
    return locked


def briefing(session: OnboardingSession) -> str:
    """What a main agent has to know to ask its next question, or to hand the draft in."""
    board = session.board
    said = [
        f"- {asked['question']}\n  {asked['answer']}"
        for asked in session.questions
        if "answer" in asked
    ]
    parts = [
        f"Set up the board {board.name!r} (board_id {board.id}) with its people.",
        board.description[:2000],
        f"Ask {FEWEST_QUESTIONS} to {MOST_QUESTIONS} questions, one at a time, with {ASKS_BY} "
        "(`question`, `options` if there are any, `about` for the field of the draft that it is "
        "for). Then stop: you are told the answer. When you know enough, hand in "
        f"`draft` by the same operation: {', '.join(drafts.FIELDS)}. It needs `objective` and "
        "`success_metrics`. People then change and confirm it.",
        "\n".join(["Asked and answered so far:", *said]) if said else "",
    ]
    return "\n\n".join(part for part in parts if part)


def check_question(value: str) -> None:
    of_agents.check_shape({**_LONG, "pattern": r"\S"}, value)


def check_options(value: Any) -> None:
    of_agents.check_shape(OPTIONS_SHAPE, value)


def newest(board: Board, only: OnboardingSession | None = None) -> OnboardingSession:
    """The newest session, locked, or the one that is meant. Raises `OnboardingNotFound`."""
    rows = board.onboarding_sessions.select_for_update(no_key=True)
    session = (rows.filter(pk=only.pk) if only else rows).first()
    if session is None or session.status == OnboardingStatus.CANCELLED:
        raise OnboardingNotFound
    return session


def _live(board: Board, only: OnboardingSession | None = None) -> OnboardingSession:
    """The same, where it is not confirmed. A board set up anew has confirmed ones before it."""
    session = newest(board, only)
    if session.status == OnboardingStatus.CONFIRMED:
        raise OnboardingConfirmed
    return session


def _of_agents(board: Board) -> OnboardingSession:
    """The same, where an agent asks."""
    session = _live(board)
    if session.interviewer == Interviewer.BUILT_IN:
        raise InterviewBuiltIn
    return session


def _chosen(board: Board, interviewer: str, agent: Agent | None) -> Agent | None:
    """The main agent that asks; None for the built-in interview."""
    if interviewer == Interviewer.BUILT_IN:
        if agent is not None:
            text = "The built-in interview has no agent."
            raise InvalidFields({"agent": [ErrorDetail(text, code="invalid")]})
        return None
    able = main_agents(board.organization_id)
    found = (able.filter(pk=agent.pk) if agent else able).first()
    if found is None and (agent is not None or interviewer):
        raise MainAgentMissing
    return found


def _insert(session: OnboardingSession) -> OnboardingSession:
    """The new session. The index decides whether it is the only one that is live."""
    try:
        with transaction.atomic():
            session.save(force_insert=True)
    except IntegrityError as error:
        raise OnboardingOpen from error
    return session


def _asked(session: OnboardingSession, key: str) -> dict[str, Any]:
    questions: list[dict[str, Any]] = session.questions
    if key:
        named = next((each for each in questions if each["key"] == key), None)
        if named is None:
            raise QuestionNotFound(keys=[each["key"] for each in questions])
        return named
    asked = next((each for each in questions if "answer" not in each), None)
    if asked is None:
        raise NothingToAnswer
    return asked


def _understood(key: str, answer: str) -> Any:
    """What the built-in interview makes of an answer. Raises a ValidationError about `answer`."""
    try:
        return interview.STEP[key].value(answer)
    except ValidationError as error:
        found = [ErrorDetail(str(each.message), code=each.code) for each in error.error_list]
        raise InvalidFields({"answer": found}) from error


def _carried(answered: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Answers that a main agent got about fields of the draft, as answers of the built-in ones."""
    carried: dict[str, dict[str, Any]] = {}
    for asked in answered:
        step = interview.STEP.get(asked.get("about", ""))
        if step is None:
            continue
        try:
            value = step.value(asked["answer"])
        except ValidationError:  # It is asked again, in words that say what is wanted.
            continue
        carried[step.key] = {**_question(step), "answer": asked["answer"], "value": value}
    if "target_date" in carried:
        step = interview.STEP["has_target_date"]
        carried[step.key] = {**_question(step), "answer": "yes", "value": "yes"}
    return list(carried.values())


def _question(step: interview.Step) -> dict[str, Any]:
    asked: dict[str, Any] = {"key": step.key, "question": step.question}
    if step.key in drafts.FIELDS:
        asked["about"] = step.key
    if step.options:
        asked["options"] = list(step.options.values())
    return asked


def _ask_next(session: OnboardingSession, *more: str) -> None:
    """Put the built-in interview's next question; after the last, its answers are the draft."""
    own = {each["key"]: each for each in session.questions if each["key"] in interview.STEP}
    values = {key: each["value"] for key, each in own.items() if "answer" in each}
    seats = Seat.objects.filter(board_id=session.board_id, role=SeatRole.LEAD)
    known = interview.Known(values, has_lead=seats.exists())
    others = [each for each in session.questions if each["key"] not in interview.STEP]
    questions = [*others, *(own[key] for key in interview.applying(known))]
    step = interview.next_step(known)
    if step is not None:
        questions.append(_question(step))
    else:
        session.draft = interview.draft_of(known)
        session.status = OnboardingStatus.COMPLETED
    session.questions = questions
    session.save(update_fields=["questions", "draft", "status", "updated_at", *more])


def _write(session: OnboardingSession, **changed: Any) -> None:
    for name, value in changed.items():
        setattr(session, name, value)
    session.save(update_fields=[*changed, "updated_at"])


def _tell_interviewer(session: OnboardingSession, asked: Mapping[str, Any], by: Actor) -> None:
    if session.agent is not None:
        facts = {name: asked[name] for name in ("question", "key", "about") if name in asked}
        _say(session, session.agent, MessageKind.ANSWER, asked["answer"], by, **facts)


def _say_over(session: OnboardingSession, words: str, by: Actor) -> None:
    """Tell the main agent that nothing more is asked of it."""
    if session.agent is not None:
        _say(session, session.agent, MessageKind.ONBOARDING, words, by, is_over=True)


def _say(
    session: OnboardingSession,
    agent: Agent,
    kind: MessageKind,
    content: str,
    by: Actor,
    **facts: Any,
) -> None:
    letter = messages.Letter(
        kind=kind,
        content=content,
        recipient=agent,
        about=Target(board_id=session.board_id),
        correlation_id=correlation_of(session),
        facts=facts,
    )
    messages.notify(session.board.organization, letter, by=by)
    # What follows the commit of the message finds it counted.
    session.said += 1
    session.save(update_fields=["said"])


def _tell(event: str, session: OnboardingSession, by: Actor, **facts: Any) -> None:
    about = Target(board_id=session.board_id)
    record(session.board.organization_id, event, by=by, target=about, **facts)
