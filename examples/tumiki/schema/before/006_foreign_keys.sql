-- Tumiki before the migration: foreign keys.

alter table "Chat"
  add constraint "Chat_userId_fkey" foreign key ("userId")
    references "User" ("id") on delete cascade on update cascade;

alter table "Document"
  add constraint "Document_userId_fkey" foreign key ("userId")
    references "User" ("id") on delete cascade on update cascade;

alter table "McpApiKey"
  add constraint "McpApiKey_userId_fkey" foreign key ("userId")
    references "User" ("id") on delete cascade on update cascade,
  add constraint "McpApiKey_userMcpServerInstanceId_fkey" foreign key ("userMcpServerInstanceId")
    references "UserMcpServerInstance" ("id") on delete cascade on update cascade;

alter table "McpServer"
  add constraint "McpServer_createdBy_fkey" foreign key ("createdBy")
    references "User" ("id") on delete set null on update cascade,
  add constraint "McpServer_organizationId_fkey" foreign key ("organizationId")
    references "Organization" ("id") on delete set null on update cascade;

alter table "McpServerRequestData"
  add constraint "McpServerRequestData_requestLogId_fkey" foreign key ("requestLogId")
    references "McpServerRequestLog" ("id") on delete cascade on update cascade;

alter table "McpServerRequestLog"
  add constraint "McpServerRequestLog_mcpServerInstanceId_fkey" foreign key ("mcpServerInstanceId")
    references "UserMcpServerInstance" ("id") on delete restrict on update cascade,
  add constraint "McpServerRequestLog_organizationId_fkey" foreign key ("organizationId")
    references "Organization" ("id") on delete set null on update cascade,
  add constraint "McpServerRequestLog_userId_fkey" foreign key ("userId")
    references "User" ("id") on delete set null on update cascade;

alter table "Message"
  add constraint "Message_chatId_fkey" foreign key ("chatId")
    references "Chat" ("id") on delete cascade on update cascade;

alter table "Organization"
  add constraint "Organization_createdBy_fkey" foreign key ("createdBy")
    references "User" ("id") on delete restrict on update cascade;

alter table "OrganizationGroup"
  add constraint "OrganizationGroup_organizationId_fkey" foreign key ("organizationId")
    references "Organization" ("id") on delete cascade on update cascade;

alter table "OrganizationInvitation"
  add constraint "OrganizationInvitation_invitedBy_fkey" foreign key ("invitedBy")
    references "User" ("id") on delete cascade on update cascade,
  add constraint "OrganizationInvitation_organizationId_fkey" foreign key ("organizationId")
    references "Organization" ("id") on delete cascade on update cascade;

alter table "OrganizationMember"
  add constraint "OrganizationMember_organizationId_fkey" foreign key ("organizationId")
    references "Organization" ("id") on delete cascade on update cascade,
  add constraint "OrganizationMember_userId_fkey" foreign key ("userId")
    references "User" ("id") on delete cascade on update cascade;

alter table "OrganizationRole"
  add constraint "OrganizationRole_organizationId_fkey" foreign key ("organizationId")
    references "Organization" ("id") on delete cascade on update cascade;

alter table "ResourceAccessControl"
  add constraint "ResourceAccessControl_groupId_fkey" foreign key ("groupId")
    references "OrganizationGroup" ("id") on delete cascade on update cascade,
  add constraint "ResourceAccessControl_memberId_fkey" foreign key ("memberId")
    references "OrganizationMember" ("id") on delete cascade on update cascade,
  add constraint "ResourceAccessControl_organizationId_fkey" foreign key ("organizationId")
    references "Organization" ("id") on delete cascade on update cascade;

alter table "RolePermission"
  add constraint "RolePermission_roleId_fkey" foreign key ("roleId")
    references "OrganizationRole" ("id") on delete cascade on update cascade;

alter table "Stream"
  add constraint "Stream_chatId_fkey" foreign key ("chatId")
    references "Chat" ("id") on delete cascade on update cascade;

alter table "Suggestion"
  add constraint "Suggestion_documentId_documentCreatedAt_fkey" foreign key ("documentId", "documentCreatedAt")
    references "Document" ("id", "createdAt") on delete cascade on update cascade,
  add constraint "Suggestion_userId_fkey" foreign key ("userId")
    references "User" ("id") on delete cascade on update cascade;

alter table "Tool"
  add constraint "Tool_mcpServerId_fkey" foreign key ("mcpServerId")
    references "McpServer" ("id") on delete cascade on update cascade;

alter table "UserMcpServerConfig"
  add constraint "UserMcpServerConfig_mcpServerId_fkey" foreign key ("mcpServerId")
    references "McpServer" ("id") on delete cascade on update cascade,
  add constraint "UserMcpServerConfig_organizationId_fkey" foreign key ("organizationId")
    references "Organization" ("id") on delete set null on update cascade,
  add constraint "UserMcpServerConfig_userId_fkey" foreign key ("userId")
    references "User" ("id") on delete cascade on update cascade;

alter table "UserMcpServerInstance"
  add constraint "UserMcpServerInstance_organizationId_fkey" foreign key ("organizationId")
    references "Organization" ("id") on delete set null on update cascade,
  add constraint "UserMcpServerInstance_toolGroupId_fkey" foreign key ("toolGroupId")
    references "UserToolGroup" ("id") on delete restrict on update cascade,
  add constraint "UserMcpServerInstance_userId_fkey" foreign key ("userId")
    references "User" ("id") on delete restrict on update cascade;

alter table "UserMcpServerInstanceToolGroup"
  add constraint "UserMcpServerInstanceToolGroup_mcpServerInstanceId_fkey" foreign key ("mcpServerInstanceId")
    references "UserMcpServerInstance" ("id") on delete cascade on update cascade,
  add constraint "UserMcpServerInstanceToolGroup_toolGroupId_fkey" foreign key ("toolGroupId")
    references "UserToolGroup" ("id") on delete cascade on update cascade;

alter table "UserToolGroup"
  add constraint "UserToolGroup_organizationId_fkey" foreign key ("organizationId")
    references "Organization" ("id") on delete set null on update cascade,
  add constraint "UserToolGroup_userId_fkey" foreign key ("userId")
    references "User" ("id") on delete cascade on update cascade;

alter table "UserToolGroupTool"
  add constraint "UserToolGroupTool_toolGroupId_fkey" foreign key ("toolGroupId")
    references "UserToolGroup" ("id") on delete cascade on update cascade,
  add constraint "UserToolGroupTool_toolId_fkey" foreign key ("toolId")
    references "Tool" ("id") on delete cascade on update cascade,
  add constraint "UserToolGroupTool_userMcpServerConfigId_fkey" foreign key ("userMcpServerConfigId")
    references "UserMcpServerConfig" ("id") on delete cascade on update cascade;

alter table "Vote"
  add constraint "Vote_chatId_fkey" foreign key ("chatId")
    references "Chat" ("id") on delete cascade on update cascade,
  add constraint "Vote_messageId_fkey" foreign key ("messageId")
    references "Message" ("id") on delete cascade on update cascade;

alter table "_OrganizationGroupToOrganizationMember"
  add constraint "_OrganizationGroupToOrganizationMember_A_fkey" foreign key ("A")
    references "OrganizationGroup" ("id") on delete cascade on update cascade,
  add constraint "_OrganizationGroupToOrganizationMember_B_fkey" foreign key ("B")
    references "OrganizationMember" ("id") on delete cascade on update cascade;

alter table "_OrganizationGroupToOrganizationRole"
  add constraint "_OrganizationGroupToOrganizationRole_A_fkey" foreign key ("A")
    references "OrganizationGroup" ("id") on delete cascade on update cascade,
  add constraint "_OrganizationGroupToOrganizationRole_B_fkey" foreign key ("B")
    references "OrganizationRole" ("id") on delete cascade on update cascade;

alter table "_OrganizationMemberToOrganizationRole"
  add constraint "_OrganizationMemberToOrganizationRole_A_fkey" foreign key ("A")
    references "OrganizationMember" ("id") on delete cascade on update cascade,
  add constraint "_OrganizationMemberToOrganizationRole_B_fkey" foreign key ("B")
    references "OrganizationRole" ("id") on delete cascade on update cascade;

alter table "_ToolToUserMcpServerConfig"
  add constraint "_ToolToUserMcpServerConfig_A_fkey" foreign key ("A")
    references "Tool" ("id") on delete cascade on update cascade,
  add constraint "_ToolToUserMcpServerConfig_B_fkey" foreign key ("B")
    references "UserMcpServerConfig" ("id") on delete cascade on update cascade;
