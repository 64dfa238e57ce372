-- Tumiki before the migration: the types of its columns.

create type "AuthType" as enum ('NONE', 'API_KEY', 'OAUTH', 'BOTH');
create type "DocumentKind" as enum ('text', 'code', 'image', 'sheet');
create type "McpServerVisibility" as enum ('PRIVATE', 'ORGANIZATION', 'PUBLIC');
create type "PermissionAction" as enum ('CREATE', 'READ', 'UPDATE', 'DELETE', 'MANAGE');
create type "ResourceType" as enum ('GROUP', 'MEMBER', 'ROLE', 'MCP_SERVER_CONFIG', 'TOOL_GROUP', 'MCP_SERVER_INSTANCE');
create type "Role" as enum ('SYSTEM_ADMIN', 'USER');
create type "ServerStatus" as enum ('RUNNING', 'STOPPED', 'ERROR', 'PENDING');
create type "ServerType" as enum ('CUSTOM', 'OFFICIAL');
create type "TransportType" as enum ('STDIO', 'SSE', 'STREAMABLE_HTTPS');
create type "Visibility" as enum ('private', 'public');