"""Every exception class of the openai and anthropic SDKs, and how `status` judges it.

A test compares the tables with the installed SDKs, so that a class nobody thought of is noticed.
"""

from __future__ import annotations

__all__ = ["BY_CAUSE", "BY_STATUS", "NEVER_RAISED"]

BY_STATUS = frozenset(
    {
        "APIStatusError",
        "AuthenticationError",
        "BadRequestError",
        "CMEKContextUnavailableError",
        "CMEKKeyDisabledError",
        "CMEKKeyNetworkBlockedError",
        "CMEKKeyUnreachableError",
        "ClaudeCodeKeyCreatorNotMemberError",
        "ClaudeCodeVersionTooOldError",
        "ClientClosedRequestError",
        "ConflictError",
        "ContentTooLargeError",
        "ContractSpendLimitReachedError",
        "EnforcedSpendLimitReachedError",
        "GatewayTimeoutError",
        "HTTPNotImplementedError",
        "InternalServerError",
        "LinkedOrganizationBillingUnavailableError",
        "LinkedOrganizationSpendLimitReachedError",
        "NotFoundError",
        "OAuthError",
        "OrganizationOnHoldError",
        "OrganizationTypeNotSupportedError",
        "OverloadedError",
        "ParentOrganizationRequiredError",
        "PaymentRequiredError",
        "PermissionDeniedError",
        "PreconditionFailedError",
        "RampLimitExceededError",
        "RateLimitError",
        "RequestBodyEncodingInvalidError",
        "RequestBodyEncodingUnsupportedError",
        "RequestBodyTooLargeAfterDecodingError",
        "RequestHeaderFieldsTooLargeError",
        "RequestTimeoutError",
        "SandboxEgressRestrictedError",
        "ServiceUnavailableError",
        "UnprocessableEntityError",
    }
)
"""The SDKs' exceptions that carry a status: judged by it, and by the code in the body."""

BY_CAUSE = frozenset({"APIConnectionError", "APITimeoutError"})
"""The SDKs' exceptions without a status: judged by what caused them."""

NEVER_RAISED = {
    "APIError": "base class; what is raised is a subclass",
    "AnthropicError": "base class; what is raised is a subclass",
    "OpenAIError": "base class; raised as itself only for a missing key, which is checked before",
    "APIResponseValidationError": "responses are read as bytes, the SDK validates none",
    "APIWebhookValidationError": "no webhooks",
    "ContentFilterFinishReasonError": "raised by the SDK's own parse(), which is not used",
    "CredentialsError": "an explicit key is always given, so no credentials are looked for",
    "IdentityTokenFileError": "an explicit key is always given, so no credentials are looked for",
    "InvalidWebhookSignatureError": "no webhooks",
    "LengthFinishReasonError": "raised by the SDK's own parse(), which is not used",
    "RetryableError": "for middleware, of which there is none",
    "SubjectTokenProviderError": "an explicit key is always given, so no token is exchanged",
    "WebSocketConnectionClosedError": "no websockets",
    "WebSocketQueueFullError": "no websockets",
    "WorkloadIdentityError": "an explicit key is always given, so no token is exchanged",
}
"""The SDKs' exceptions that no call of ours can raise, and why."""
