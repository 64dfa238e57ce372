/** Tumiki's migration written by hand, in place: what the judge is tried on, apart from the product. */
import type { ClientBase } from 'pg';

/** Turns the *before* schema and its rows into the *after* ones. */
export async function migrateTumikiByHand(client: ClientBase): Promise<void> {
  await client.query(`
    begin;
    alter table "Organization" add "isPersonal" boolean not null default true,
                               add "maxMembers" integer not null default 1;
    update "Organization" o set "isPersonal" = false,
      "maxMembers" = greatest(10, (select count(*) from "OrganizationMember" m where m."organizationId" = o.id));
    alter table "User" add "defaultOrganizationId" text references "Organization" on update cascade on delete set null;

    insert into "Organization" (id, name, description, "isDeleted", "createdBy", "createdAt", "updatedAt", "isPersonal", "maxMembers")
      select 'porg_' || md5(id),
             case when name <> '' then name when email <> '' then email else 'User' end || $$'s Workspace$$,
             'Personal workspace', false, id, "createdAt", "updatedAt", true, 1
        from "User";
    insert into "OrganizationMember" (id, "organizationId", "userId", "isAdmin", "createdAt", "updatedAt")
      select 'pmem_' || md5(id), 'porg_' || md5(id), id, true, "createdAt", "updatedAt" from "User";
    update "User" set "defaultOrganizationId" = 'porg_' || md5(id);

    update "UserMcpServerConfig" set "organizationId" = 'porg_' || md5("userId") where "organizationId" is null;
    update "UserToolGroup" set "organizationId" = 'porg_' || md5("userId") where "organizationId" is null;
    update "UserMcpServerInstance" set "organizationId" = 'porg_' || md5("userId") where "organizationId" is null;
    update "McpServerRequestLog" set "organizationId" = 'porg_' || md5("userId")
     where "organizationId" is null and "userId" is not null;
    update "McpServerRequestLog" log set "organizationId" = i."organizationId"
      from "UserMcpServerInstance" i where log."organizationId" is null and i.id = log."mcpServerInstanceId";

    update "McpServer" set "authType" = 'OAUTH' where "authType" = 'BOTH';
    update "UserMcpServerInstance" set "authType" = 'OAUTH' where "authType" = 'BOTH';

    alter table "User" drop "hasCompletedOnboarding";
    alter table "McpApiKey" drop "userId";
    alter table "UserMcpServerConfig" drop "userId", drop "oauthScopes";
    alter table "UserToolGroup" drop "userId";
    alter table "UserMcpServerInstance" drop "userId";
    alter table "McpServerRequestLog" drop "userId";
    drop table "_ToolToUserMcpServerConfig";
    commit`);
}
