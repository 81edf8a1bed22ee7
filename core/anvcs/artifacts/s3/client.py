"""The client of one bucket's server: made when it is first needed, shared by all threads."""

import os
import threading
from functools import cache
from typing import Any

from anvcs.artifacts.errors import AccessDenied, BucketUnversioned, ClockSkewed, CredentialsBad
from anvcs.artifacts.s3.meaning import SKEW_S, meaning, skew_of, skewed
from anvcs.artifacts.s3.options import S3Options

CONNECTIONS = 32
_EXPIRES_S = 900
_SOURCES = {
    "env": "from the environment (AWS_ACCESS_KEY_ID)",
    "shared-credentials-file": "from profile {profile} of the shared credentials file",
    "config-file": "from profile {profile} of AWS's configuration file",
    "assume-role": "of the role that profile {profile} assumes (STS)",
    "assume-role-with-web-identity": "of a role, by a web identity token (OIDC)",
    "sso": "of the single sign-on of profile {profile}",
    "custom-process": "from the credential_process of profile {profile}",
    "container-role": "of the container's role",
    "iam-role": "of the machine's role (instance metadata)",
}
"""What botocore calls them, in words."""


@cache
def _descriptions() -> Any:
    """Botocore's descriptions of services: read from the disk once, not once for each session."""
    from botocore.loaders import create_loader

    return create_loader()


class Client:
    """Makes requests; whatever goes wrong is one of our errors."""

    def __init__(self, options: S3Options, name: str) -> None:
        self.options, self.name = options, name
        self._lock = threading.Lock()
        self._session: Any = None
        self._base: Any = None
        """botocore's session, below boto3's."""
        self._client: Any = None
        self._checked = False
        self.parts = threading.BoundedSemaphore(2 * options.concurrency)
        """One for each part of any upload that is in memory."""

    @property
    def session(self) -> Any:
        """boto3's session: where credentials come from."""
        if self._session is None:
            import boto3
            import botocore.session
            from botocore.exceptions import BotoCoreError

            options = self.options
            secrets = {
                "aws_access_key_id": options.access_key_id,
                "aws_secret_access_key": options.secret_access_key,
                "aws_session_token": options.session_token,
            }
            try:
                base = self._base = botocore.session.get_session()
                base.register_component("data_loader", _descriptions())
                self._session = boto3.Session(
                    botocore_session=base,
                    profile_name=options.profile or None,
                    region_name=options.region or None,
                    **{name: secret.reveal() for name, secret in secrets.items() if secret},
                )
            except BotoCoreError as error:  # the profile isn't there
                raise meaning(error, self.name) from error
        return self._session

    @property
    def region(self) -> str:
        """What requests to a server of one's own are signed for."""
        return self.session.region_name or "us-east-1"

    @property
    def raw(self) -> Any:
        """boto3's client, for what it does without a request."""
        with self._lock:
            if self._client is None:
                self._client = self._make()
            return self._client

    def call(self, method: str, key: str = "", version_id: str | None = None, **parameters: Any) -> Any:
        """One request about the bucket, or about *key* in it."""
        from botocore.exceptions import BotoCoreError, ClientError

        named = {"Bucket": self.options.bucket} | ({"Key": key} if key else {})
        if version_id:
            named["VersionId"] = version_id
        self.frozen()  # what fails here is no answer of the bucket's
        try:
            return getattr(self.raw, method)(**named, **parameters)
        except (BotoCoreError, ClientError) as error:
            raise meaning(error, self.name, key, version_id) from error

    def credentials(self) -> str:
        """Where the credentials come from; raises `CredentialsBad` when there are none or they can't be had."""
        self.frozen()  # a role's or a log-in's are asked for only now
        if self.options.access_key_id:
            return "adapters.s3 of the configuration"
        method = str(self.session.get_credentials().method)
        return _SOURCES.get(method, method).format(profile=self.session.profile_name)

    @property
    def ca_file(self) -> str:
        """The certificates that a server must be vouched for by, by the rules of AWS's tools."""
        from botocore.httpsession import get_cert_path

        _ = self.session
        bundle = self._base.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
        return str(bundle or get_cert_path(True))

    def frozen(self) -> Any:
        """The credentials as they are now, renewed if it is time to."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            found = self.session.get_credentials()
            if found is None:
                raise CredentialsBad(self.name, "no credentials were found")
            return found.get_frozen_credentials()
        except BotoCoreError as error:
            raise meaning(error, self.name) from error
        except ClientError as error:  # whoever was asked for them refused
            raise CredentialsBad(self.name, str(error)) from error

    def presign(self, request: Any, region: str) -> None:
        """Sign in the address: a proxy that drops the header ``Authorization`` leaves it alone."""
        from botocore.auth import S3SigV4QueryAuth

        body, request.data = request.data, b""  # botocore would take it for parameters
        S3SigV4QueryAuth(self.frozen(), "s3", region, expires=_EXPIRES_S).add_auth(request)
        request.data = body

    def ready(self) -> None:
        """Before the first upload: the clock is right and the bucket keeps versions."""
        if self._checked:
            return
        try:
            answer = self.call("get_bucket_versioning")
        except AccessDenied:
            pass  # who may only write objects can't see it; what is uploaded shows whether it has a version
        else:
            skew = skew_of(answer["ResponseMetadata"]["HTTPHeaders"])
            if skew is not None and abs(skew) > SKEW_S:
                raise ClockSkewed(self.name, skewed(skew))
            if answer.get("Status") != "Enabled":
                raise self.unversioned()
        self._checked = True

    def unversioned(self) -> BucketUnversioned:
        """The error that says how to mend the bucket."""
        return BucketUnversioned(self.name, self.options.bucket, self.options.fix_versioning)

    def _make(self) -> Any:
        from botocore import UNSIGNED
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        options = self.options
        config = Config(
            signature_version=UNSIGNED if options.use_presigned else "s3v4",  # the former are signed by `presign`
            s3={"addressing_style": "virtual" if options.virtual_hosts else "path"},
            # Ours: theirs know neither our deadline nor what has come already.
            retries={"total_max_attempts": 1, "mode": "standard"},
            connect_timeout=options.connect_timeout_s,
            read_timeout=options.read_timeout_s,
            max_pool_connections=CONNECTIONS,
            tcp_keepalive=True,
            # Servers differ in what they make of these; our SHA-256 is what proves content.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        region = self.region if options.endpoint_url else None
        try:
            client = self.session.client(
                "s3", endpoint_url=options.endpoint_url or None, config=config, region_name=region
            )
        except (BotoCoreError, ValueError) as error:
            raise meaning(error, self.name) from error
        if options.use_presigned:
            region = client.meta.region_name
            client.meta.events.register("before-sign.s3", lambda request, **_: self.presign(request, region))
        return client
