-- Tumiki before the migration: secondary indexes.

create unique index "McpApiKey_apiKeyHash_key" on "McpApiKey" ("apiKeyHash");
create unique index "McpApiKey_apiKey_key" on "McpApiKey" ("apiKey");
create index "McpApiKey_userId_idx" on "McpApiKey" ("userId");
create index "McpApiKey_userMcpServerInstanceId_idx" on "McpApiKey" ("userMcpServerInstanceId");
create unique index "McpServerRequestData_requestLogId_key" on "McpServerRequestData" ("requestLogId");
create index "OrganizationGroup_organizationId_idx" on "OrganizationGroup" ("organizationId");
create unique index "OrganizationGroup_organizationId_name_key" on "OrganizationGroup" ("organizationId", "name");
create unique index "OrganizationInvitation_organizationId_email_key" on "OrganizationInvitation" ("organizationId", "email");
create index "OrganizationInvitation_token_idx" on "OrganizationInvitation" ("token");
create unique index "OrganizationInvitation_token_key" on "OrganizationInvitation" ("token");
create unique index "OrganizationMember_organizationId_userId_key" on "OrganizationMember" ("organizationId", "userId");
create unique index "OrganizationRole_organizationId_name_key" on "OrganizationRole" ("organizationId", "name");
create index "ResourceAccessControl_organizationId_resourceType_resourceI_idx" on "ResourceAccessControl" ("organizationId", "resourceType", "resourceId");
create unique index "ResourceAccessControl_organizationId_resourceType_resourceI_key" on "ResourceAccessControl" ("organizationId", "resourceType", "resourceId", "memberId", "groupId");
create unique index "RolePermission_roleId_resourceType_action_key" on "RolePermission" ("roleId", "resourceType", "action");
create unique index "Tool_mcpServerId_name_key" on "Tool" ("mcpServerId", "name");
create unique index "User_email_key" on "User" ("email");
create index "UserMcpServerInstance_deletedAt_idx" on "UserMcpServerInstance" ("deletedAt");
create unique index "UserMcpServerInstance_toolGroupId_key" on "UserMcpServerInstance" ("toolGroupId");
create index "_OrganizationGroupToOrganizationMember_B_index" on "_OrganizationGroupToOrganizationMember" ("B");
create index "_OrganizationGroupToOrganizationRole_B_index" on "_OrganizationGroupToOrganizationRole" ("B");
create index "_OrganizationMemberToOrganizationRole_B_index" on "_OrganizationMemberToOrganizationRole" ("B");
create index "_ToolToUserMcpServerConfig_B_index" on "_ToolToUserMcpServerConfig" ("B");
create unique index "waiting_list_email_key" on "waiting_list" ("email");
