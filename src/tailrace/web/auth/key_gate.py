"""Who may, by key: keys of the ledger, the one that settings give, and the browser tokens that keys have made."""

from __future__ import annotations

import contextlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from starlette.requests import Request

from tailrace.errors import RequestError, SettingsError, StoreError
from tailrace.keys import ADMIN_ID, KeyText, hash_secret, parse_text
from tailrace.ledger import Key, Ledger
from tailrace.settings import Secret
from tailrace.web.auth.addresses import Proxies
from tailrace.web.auth.callers import ADMIN, Caller
from tailrace.web.auth.gate import presented, unauthorized
from tailrace.web.auth.guesses import Guesses
from tailrace.web.auth.own_pages import COOKIE, LIFE_S, check_own_page
from tailrace.web.auth.seen_keys import POLL_S, Found, SeenKeys
from tailrace.web.tokens import LONGEST, PREFIX, Claims, TokenCodec

_NO_TEXT: Final = KeyText(id="0", secret=Secret("0" * 43))
_NOBODY: Final[Found] = (Key(id="", name="", created_at=0.0), secrets.token_bytes(32))
"""What is compared where there is nothing to compare."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a token allows; None is no restriction beyond the key's own. `ttl_s` is its life in seconds."""

    ttl_s: int
    user: str | None = None
    session_id: str | None = None
    models: tuple[str, ...] | None = None
    origin: str | None = None


class IssuedToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token, and its end in Unix time."""

    token: str
    expires_at: int


class KeyGate:
    """Lets in who has a key in force. Run it between `open` and `close`, inside the ledger's own life.

    A key that was seen costs one hash and one comparison; any other, and every refusal, a look into the ledger, which
    counts as a guess of its address until it has proved right. While the database is down keys already seen pass and
    others get 503 `store_unavailable`.
    """

    def __init__(
        self,
        ledger: Ledger,
        admin_key: Secret | None = None,
        *,
        trusted_proxies: Iterable[str] = (),
        guesses: Guesses | None = None,
        poll_s: float = POLL_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Raises SettingsError for an admin key that is none."""
        self._ledger = ledger
        self._given = {} if admin_key is None else {ADMIN_ID: _read_admin_key(admin_key)}
        self._seen = SeenKeys(ledger, poll_s=poll_s)
        self._proxies = Proxies(trusted_proxies)
        self._guesses = guesses or Guesses()
        self._clock = clock
        self._codec: TokenCodec | None = None  # from `open` on

    # Life

    async def open(self) -> None:
        """Read the keys and go on polling them. Raises StoreError."""
        self._codec = TokenCodec(await self._ledger.signing_secret())
        await self._seen.open()

    async def close(self) -> None:
        """Stop polling."""
        await self._seen.close()

    async def refresh(self) -> None:
        """Read the keys now, after a change made here; where the database does not answer, polling will see to it."""
        with contextlib.suppress(StoreError):
            await self._seen.refresh()

    def on_revoked(self, listener: Callable[[str], object]) -> None:
        """Call `listener` with the id of each key that is revoked from now on, if it was used in this process."""
        self._seen.on_revoked(listener)

    @property
    def any_made(self) -> bool:
        """Whether there was ever a key: open mode has ended then."""
        return bool(self._given) or self._seen.any_made

    # Requests

    async def admit(self, request: Request) -> Caller:
        """Who asks. Raises RequestError: 401, 403 a token's origin or a cookie's, 429 too many wrong keys, 503."""
        credential = presented(request)
        if credential is None:
            return await self._admit_page(request)
        if credential.startswith(PREFIX):
            return await self._admit_token(credential, request)
        return Caller(key=await self._prove(credential, request))

    async def sign_in(self, credential: str, request: Request) -> IssuedToken:
        """The cookie of a page of ours, for whoever gave it this key. Raises RequestError as `admit` does."""
        key = await self._prove(credential, request)
        return self._sign(Claims(key_id=key.id, stamp=self._stamp(key.id), expires_at=self._in(LIFE_S), page=True))

    def issue(self, caller: Caller, terms: Terms) -> IssuedToken:
        """A token that lets a browser chat as this caller, within these terms.

        Raises RequestError 422 for terms that no token can hold.
        """
        claims = Claims(
            key_id=caller.key.id,
            stamp=self._stamp(caller.key.id),
            expires_at=self._in(terms.ttl_s),
            user=caller.user if terms.user is None else terms.user,
            session_id=terms.session_id,
            models=terms.models,
            origin=terms.origin,
        )
        return self._sign(claims)

    def honours(self, caller: Caller) -> bool:
        """Whether a caller that was admitted still would be: a body may take longer to come than a revocation."""
        found = self._get(caller.key.id)
        return found is None or self._is_in_force(found[0])

    # Keys

    def _get(self, key_id: str) -> Found | None:
        return self._given.get(key_id) or self._seen.get(key_id)

    async def _prove(self, credential: str, request: Request) -> Key:
        """The key in force whose text this is."""
        text = parse_text(credential) or _NO_TEXT
        return self._holder(text, self._get(text.id)) or await self._look_up(text, request)

    def _holder(self, text: KeyText, found: Found | None) -> Key | None:
        """The key, if the secret is its own and it is in force; where there is none the same work is done."""
        key, secret_hash = found or _NOBODY
        right = hmac.compare_digest(hash_secret(text.secret), secret_hash)
        return key if right and found is not None and self._is_in_force(key) else None

    async def _look_up(self, text: KeyText, request: Request) -> Key:
        """Ask the ledger, for refusals too: how long one takes says nothing about which keys there are."""
        address = self._proxies.client_address(request)
        async with self._guesses.turn(address):
            self._guesses.take(address)
            try:
                key = self._holder(text, await self._find(text.id))
            except RequestError:
                self._guesses.give_back(address)
                raise
            if key is None:
                raise unauthorized()
            self._guesses.give_back(address)
            return key

    async def _find(self, key_id: str) -> Found | None:
        try:
            return await self._seen.find(key_id)
        except StoreError:
            raise RequestError(
                503,
                "store_unavailable",
                "the database does not answer, and this key was not seen before",
                headers={"retry-after": "1"},
            ) from None

    def _is_in_force(self, key: Key) -> bool:
        return key.revoked_at is None and (key.expires_at is None or self._clock() < key.expires_at)

    # Tokens

    async def _admit_page(self, request: Request) -> Caller:
        """A page of ours, by its cookie."""
        if (cookie := request.cookies.get(COOKIE)) is None:
            raise unauthorized()
        key = await self._signer(self._read_token(cookie, request, page=True))
        check_own_page(request)
        return Caller(key=key)

    async def _admit_token(self, token: str, request: Request) -> Caller:
        claims = self._read_token(token, request, page=False)
        key = await self._signer(claims)
        _check_origin(claims.origin, request)
        return Caller(key=key, user=claims.user, by_token=True, session_id=claims.session_id, models=claims.models)

    def _read_token(self, token: str, request: Request, *, page: bool) -> Claims:
        """What it says, where it is ours, in force, and where it belongs: a page's in its cookie, others elsewhere."""
        claims = self._tokens.decode(token)
        if claims is None:
            self._guesses.take(self._proxies.client_address(request))
            raise unauthorized()
        if self._clock() >= claims.expires_at or claims.page is not page:
            raise unauthorized()
        return claims

    def _sign(self, claims: Claims) -> IssuedToken:
        token = self._tokens.encode(claims)
        if len(token) > LONGEST:
            raise RequestError(422, "invalid_field", f"the token would be longer than {LONGEST}; name fewer models")
        return IssuedToken(token=token, expires_at=claims.expires_at)

    def _stamp(self, key_id: str) -> str:
        found = self._get(key_id)
        return self._tokens.stamp(b"" if found is None else found[1])

    def _in(self, seconds: int) -> int:
        return int(self._clock()) + seconds

    async def _signer(self, claims: Claims) -> Key:
        """The key that made the token, which must still be in force."""
        found = self._get(claims.key_id) or await self._find(claims.key_id)
        if found is None or not self._is_in_force(found[0]):
            raise unauthorized()
        if not hmac.compare_digest(claims.stamp, self._tokens.stamp(found[1])):
            raise unauthorized()
        return found[0]

    @property
    def _tokens(self) -> TokenCodec:
        if self._codec is None:
            raise RuntimeError("the gate is not open: open it with the application")
        return self._codec


def _read_admin_key(admin_key: Secret) -> Found:
    text = parse_text(admin_key.reveal())
    if text is None or text.id != ADMIN_ID:
        raise SettingsError(
            "must be tr_admin_ and at least 43 characters (letters, digits, - and _)", where="admin_key"
        )
    return ADMIN, hash_secret(text.secret)


def _check_origin(bound_to: str | None, request: Request) -> None:
    """A token that is bound to an origin works from its pages alone."""
    if bound_to is None:
        return
    origin = request.headers.get("origin")
    if origin is None:
        if request.headers.get("sec-fetch-site") == "same-origin":
            return
        raise RequestError(403, "origin_refused", f"this token is for pages of {bound_to} alone")
    if origin.lower() != bound_to:
        raise RequestError(403, "origin_refused", f"this token is for pages of {bound_to}, not of {origin[:80]!r}")
