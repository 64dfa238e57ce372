-- Tumiki after the migration: MCP servers, tools, users' instances and requests.

create table "McpApiKey" (
  "id" text not null,
  "name" text not null,
  "apiKey" text not null,
  "apiKeyHash" text,
  "isActive" boolean not null default true,
  "lastUsedAt" timestamp(3),
  "expiresAt" timestamp(3),
  "userMcpServerInstanceId" text not null,
  "createdAt" timestamp(3) not null default current_timestamp,
  "updatedAt" timestamp(3) not null,
  constraint "McpApiKey_pkey" primary key ("id")
);

create table "McpServer" (
  "id" text not null,
  "name" text not null,
  "iconPath" text,
  "command" text,
  "args" text[],
  "envVars" text[],
  "isPublic" boolean not null default false,
  "createdAt" timestamp(3) not null default current_timestamp,
  "updatedAt" timestamp(3) not null,
  "createdBy" text,
  "serverType" "ServerType" not null default 'OFFICIAL',
  "transportType" "TransportType" not null default 'STDIO',
  "url" text,
  "visibility" "McpServerVisibility" not null default 'PRIVATE',
  "organizationId" text,
  "authType" "AuthType" not null default 'NONE',
  "oauthProvider" varchar(50),
  "oauthScopes" text[],
  constraint "McpServer_pkey" primary key ("id")
);

create table "McpServerRequestData" (
  "id" text not null,
  "requestLogId" text not null,
  "inputDataCompressed" bytea not null,
  "outputDataCompressed" bytea not null,
  "originalInputSize" integer not null,
  "originalOutputSize" integer not null,
  "compressedInputSize" integer not null,
  "compressedOutputSize" integer not null,
  "compressionRatio" double precision not null,
  "createdAt" timestamp(3) not null default current_timestamp,
  constraint "McpServerRequestData_pkey" primary key ("id")
);

create table "McpServerRequestLog" (
  "id" text not null,
  "mcpServerInstanceId" text not null,
  "toolName" text not null,
  "transportType" "TransportType" not null,
  "method" text not null,
  "responseStatus" text not null,
  "durationMs" integer not null,
  "errorMessage" text,
  "errorCode" text,
  "inputBytes" integer,
  "outputBytes" integer,
  "organizationId" text not null,
  "userAgent" text,
  "createdAt" timestamp(3) not null default current_timestamp,
  constraint "McpServerRequestLog_pkey" primary key ("id")
);

create table "Tool" (
  "id" text not null,
  "name" text not null,
  "description" text not null,
  "inputSchema" jsonb not null,
  "isEnabled" boolean not null default true,
  "mcpServerId" text not null,
  "createdAt" timestamp(3) not null default current_timestamp,
  "updatedAt" timestamp(3) not null,
  constraint "Tool_pkey" primary key ("id")
);

create table "UserMcpServerConfig" (
  "id" text not null,
  "name" text not null,
  "description" text not null,
  "envVars" text not null,
  "mcpServerId" text not null,
  "organizationId" text not null,
  "createdAt" timestamp(3) not null default current_timestamp,
  "updatedAt" timestamp(3) not null,
  "oauthConnection" text,
  constraint "UserMcpServerConfig_pkey" primary key ("id")
);

create table "UserMcpServerInstance" (
  "id" text not null,
  "name" text not null,
  "description" text not null,
  "iconPath" text,
  "serverStatus" "ServerStatus" not null,
  "serverType" "ServerType" not null,
  "toolGroupId" text not null,
  "organizationId" text not null,
  "createdAt" timestamp(3) not null default current_timestamp,
  "updatedAt" timestamp(3) not null,
  "deletedAt" timestamp(3),
  "displayOrder" integer not null default 0,
  "authType" "AuthType" not null default 'API_KEY',
  constraint "UserMcpServerInstance_pkey" primary key ("id")
);

create table "UserMcpServerInstanceToolGroup" (
  "mcpServerInstanceId" text not null,
  "toolGroupId" text not null,
  "sortOrder" integer not null default 0,
  "createdAt" timestamp(3) not null default current_timestamp,
  constraint "UserMcpServerInstanceToolGroup_pkey" primary key ("mcpServerInstanceId", "toolGroupId")
);

create table "UserToolGroup" (
  "id" text not null,
  "name" text not null,
  "description" text not null,
  "isEnabled" boolean not null default true,
  "organizationId" text not null,
  "createdAt" timestamp(3) not null default current_timestamp,
  "updatedAt" timestamp(3) not null,
  constraint "UserToolGroup_pkey" primary key ("id")
);

create table "UserToolGroupTool" (
  "userMcpServerConfigId" text not null,
  "toolGroupId" text not null,
  "toolId" text not null,
  "sortOrder" integer not null default 0,
  "createdAt" timestamp(3) not null default current_timestamp,
  constraint "UserToolGroupTool_pkey" primary key ("toolGroupId", "userMcpServerConfigId", "toolId")
);
