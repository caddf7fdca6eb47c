"""The desk of the development provider: pending questions, codes, lockout. Guards each from being used twice.

Wrong passwords lock nobody out: whoever knows a name could keep its owner from working. After a few of them a
password alone is not taken any more, right or wrong; password and code together are. Wrong codes lock, for six digits
can be guessed; but only those count that came with the right password, which a stranger does not have. Everything is
in memory and small: this is one process on loopback, and what it forgets at exit nobody misses.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable, Mapping

import msgspec

from weighthouse.core.clock import MINUTE, SECOND, Clock, Millis
from weighthouse.identity.adapters.dev_idp.people import STEP, DevPerson, DevSecret, matching_step

TRIES = 5
LOCKED_FOR: Millis = 15 * MINUTE
QUESTION_LIFE: Millis = 10 * MINUTE
CODE_LIFE: Millis = MINUTE
MOST = 10_000


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One authorization request that waits for its person."""

    redirect_uri: str
    state: str
    nonce: str
    challenge: str
    second_factor: bool
    expires: Millis


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """A code's worth: who signed in, how, and for which request."""

    question: Question
    subject: str
    name: str
    second_factor: bool
    at: Millis


class Tried(msgspec.Struct, frozen=True):
    """What came of one form: the person if it was right, else why not (for the log; the page says one thing only)."""

    person: DevPerson | None
    reason: str = ""
    second_factor: bool = False


class Failures:
    """How often each person's form was wrong of late. What comes once it was often enough makes it last no longer."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._of: dict[str, tuple[int, Millis]] = {}

    def many(self, subject: str) -> bool:
        count, since = self._of.get(subject, (0, 0))
        return count >= TRIES and self._clock.now() - since < LOCKED_FOR

    def add(self, subject: str) -> None:
        now = self._clock.now()
        count, since = self._of.get(subject, (0, 0))
        if now - since >= LOCKED_FOR:
            count = 0
        if count < TRIES:
            self._of[subject] = (count + 1, now)

    def forget(self, subject: str) -> None:
        self._of.pop(subject, None)


class Desk:
    """Holds the short-lived state of the provider."""

    def __init__(
        self,
        clock: Clock,
        people: Callable[[], Mapping[str, DevPerson]],
        secret: Callable[[str], DevSecret],
    ) -> None:
        self._clock, self._people, self._secret = clock, people, secret
        self._questions: dict[str, Question] = {}
        self._codes: dict[str, Answer] = {}
        self._pushed: dict[str, tuple[Millis, dict[str, str]]] = {}
        self._passwords = Failures(clock)
        self._wrong_codes = Failures(clock)
        self._answered: dict[str, Millis] = {}
        self._steps: dict[str, set[int]] = {}
        self._lock = threading.Lock()

    def push(self, asked: dict[str, str]) -> str:
        """Keep an authorization request that a client has pushed; return its name."""
        name = "urn:ietf:params:oauth:request_uri:" + secrets.token_urlsafe(32)
        with self._lock:
            self._pushed = dict(list(self._pushed.items())[1 - MOST :])
            self._pushed[name] = (self._clock.now() + QUESTION_LIFE, asked)
        return name

    def pushed(self, name: str) -> dict[str, str] | None:
        """What was pushed under this name, while it is good; the page may be loaded again meanwhile."""
        with self._lock:
            until, asked = self._pushed.get(name, (0, {}))
        return asked if self._clock.now() < until else None

    def ask(self, question: Question) -> str:
        """Keep a question; return its handle."""
        handle = secrets.token_urlsafe(32)
        with self._lock:
            now = self._clock.now()
            self._questions = {key: kept for key, kept in self._questions.items() if kept.expires > now}
            while len(self._questions) >= MOST:  # the oldest: whoever asks without end empties nobody else's desk
                del self._questions[next(iter(self._questions))]
            self._questions[handle] = question
        return handle

    def question(self, handle: str) -> Question | None:
        with self._lock:
            found = self._questions.get(handle)
        return found if found and found.expires > self._clock.now() else None

    def try_person(self, subject: str, password: str, code: str, *, second_factor: bool) -> Tried:
        """Check a form. Unknown, wrong and locked take the same work and look the same from outside."""
        person = self._people().get(subject)
        secret = self._secret(subject)
        right = hmac.compare_digest(_digest(password), _digest(secret.password))
        step = matching_step(secret.totp, code, self._clock.now())
        with self._lock:
            reason = self._judge(person, right, step, code, second_factor)
            if person is None or reason:
                return Tried(None, reason)
            self._passwords.forget(subject)
            if step is not None:
                self._wrong_codes.forget(subject)
                spent = self._steps.get(subject, set())
                self._steps[subject] = {one for one in spent if one >= self._clock.now() // STEP - 1} | {step}
        return Tried(person, second_factor=step is not None)

    def _judge(self, person: DevPerson | None, right: bool, step: int | None, code: str, second_factor: bool) -> str:
        if person is None:
            return "unknown account"  # which counts nowhere, so that invented names push nobody's count out
        subject = person.subject
        if not right:
            self._passwords.add(subject)
            return "wrong password"
        if self._wrong_codes.many(subject):
            return "locked"
        if code or second_factor:
            if step is None:
                self._wrong_codes.add(subject)
                return "wrong code"
            if step in self._steps.get(subject, ()):  # a code that was watched over a shoulder is spent
                self._wrong_codes.add(subject)
                return "code used before"
            return ""
        return "locked" if self._passwords.many(subject) else ""

    def answer(self, handle: str, person: DevPerson, *, second_factor: bool) -> tuple[str, Question] | None:
        """Turn a question into a code, once."""
        with self._lock:
            question = self._questions.pop(handle, None)
            if question is None:
                return None
            now = max(self._clock.now(), self._answered.get(person.subject, 0) + SECOND)
            if second_factor:  # `auth_time` is in seconds, and two factors of one second would look like one
                self._answered[person.subject] = now
            self._codes = {key: kept for key, kept in self._codes.items() if kept.at + CODE_LIFE > now}
            code = secrets.token_urlsafe(32)
            self._codes[code] = Answer(
                question=question, subject=person.subject, name=person.name, second_factor=second_factor, at=now
            )
        return code, question

    def redeem(self, code: str, verifier: str, redirect_uri: str) -> Answer | None:
        """Take a code out; None unless verifier and address are those of its request. A wrong try spends the code."""
        with self._lock:
            answer = self._codes.pop(code, None)
        if answer is None or answer.at + CODE_LIFE <= self._clock.now():
            return None
        challenge = base64.urlsafe_b64encode(_digest(verifier)).rstrip(b"=")
        if not 43 <= len(verifier) <= 128 or not hmac.compare_digest(challenge, answer.question.challenge.encode()):
            return None
        return answer if redirect_uri == answer.question.redirect_uri else None


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
