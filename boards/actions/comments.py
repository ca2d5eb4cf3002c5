"""Comments on tasks, and who is told of them."""

from __future__ import annotations

from django.db import transaction

from agents.activity import Actor, Target, record
from agents.messages import Letter, notify
from agents.models import Agent, MessageKind
from boards.actions.boards import locked_board
from boards.actions.mentions import named_in
from boards.actions.standing import part_of
from boards.errors import CommentNotAllowed, EmptyComment, TaskNotFound
from boards.models import Board, Comment, Task, TaskStatus
from boards.rules import Part


@transaction.atomic
def comment_on(task: Task, content: str, *, by: Actor) -> Comment:
    """Write on a task, and tell those whom the text names, else the assignee, never the author.

    Raises NotOnThisBoard, CommentNotAllowed, EmptyComment and TaskNotFound.
    """
    board = locked_board(task.board)
    rows = Task.objects.select_related("assigned_agent__gateway")
    current = rows.filter(pk=task.pk).first()
    if current is None:
        raise TaskNotFound
    if part_of(board, by) is Part.LEAD and not _may_lead_comment(current, by):
        raise CommentNotAllowed
    return write(board, current, content, by=by)


def write(board: Board, task: Task, content: str, *, by: Actor) -> Comment:
    """The same for who was found to be allowed to; in the caller's transaction."""
    if not content.strip():
        raise EmptyComment
    comment = Comment.objects.create(
        task=task,
        content=content,
        author_kind=by.kind,
        author_id=by.id,
        author_name=by.name[:200],
    )
    mentioned = named_in(board, content)
    comment.mentioned.set(mentioned)
    about = Target(board_id=board.id, task_id=task.id)
    record(board.organization_id, "task.commented", by=by, target=about, comment_id=str(comment.id))
    kind = MessageKind.MENTION if mentioned else MessageKind.COMMENT
    for agent in _told(task, mentioned, by):
        letter = Letter(kind, content, agent, about, facts={"comment_id": str(comment.id)})
        notify(board.organization, letter, by=by)
    return comment


def _told(task: Task, mentioned: list[Agent], by: Actor) -> list[Agent]:
    everybody = mentioned or ([task.assigned_agent] if task.assigned_agent else [])
    return [agent for agent in everybody if agent.pk != by.id]


def _may_lead_comment(task: Task, by: Actor) -> bool:
    if task.status == TaskStatus.REVIEW or task.created_by_agent_id == by.id:
        return True
    return Comment.objects.filter(task=task, mentioned=by.id).exists()
