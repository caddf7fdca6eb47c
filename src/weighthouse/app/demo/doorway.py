"""The way in of a copied server, for whoever comes from anywhere: the whole web application, and no socket."""

from __future__ import annotations

from collections.abc import Callable

from weighthouse.app.house import application
from weighthouse.app.origin import origin
from weighthouse.app.provider import dev_secret
from weighthouse.core.errors import Unauthenticated
from weighthouse.core.work import System
from weighthouse.identity.adapters.in_process import InProcess
from weighthouse_sdk.client import Client, DeviceKey, ProblemError
from weighthouse_sdk.client.headless import next_code
from weighthouse_sdk.errors import SdkError

NO_CODE = "000000"


class Door:
    """The application over one system, with its own embedded provider."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._application = application(system)

    def sign_in(self, account: str, address: str, *, password: str, factor: bool) -> Callable[[], bool]:
        """Walk a whole sign-in; return what says whether its session is taken still.

        What is refused on the way, by the provider's page or by the server, is raised with the code it came with.
        """
        secret, key = dev_secret(self._system, account), DeviceKey.generate()
        key.now = self._now
        client = Client(origin(self._system.settings), key, transport=InProcess(self._application, peer=address))
        code = (lambda: next_code(secret.totp, self._now)) if factor else NO_CODE
        try:
            client.sign_in_headless(account, password or secret.password, "", code=code)
        except SdkError as refused:
            raise Unauthenticated(refused.code, refused.message, refused.remedy) from refused

        def taken() -> bool:
            try:
                client.get("me")
            except ProblemError:
                return False
            return True

        return taken

    def _now(self) -> float:
        return self._system.clock.now() / 1000
