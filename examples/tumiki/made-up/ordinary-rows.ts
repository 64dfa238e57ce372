/** The ordinary rows of a made-up Tumiki: one statement a table, in proportions of a real one. */
import { fill, tumikiValues } from './ordinary-values';

/** The statements that insert the ordinary rows; they hold all foreign keys once all have run. */
export function ordinaryRows(users: number, seed: number): string[] {
  const values = tumikiValues(users, seed);
  return [
    ...peopleRows(users, values),
    ...ownedRows(users, values),
    ...requestRows(users, values),
    ...chatRows(users, values),
  ];
}

type Values = ReturnType<typeof tumikiValues>;

function peopleRows(users: number, values: Values): string[] {
  const {
    teams,
    servers,
    members,
    inTeams,
    hash,
    id,
    oneOf,
    time,
    words,
    user,
    team,
    teamOrNone,
    member,
    half,
    times,
  } = values;
  return [
    fill('User', users, {
      id: user('n'),
      name: `case when n % 11 = 3 then null else 'User ' || initcap(substr(${hash('name', 'n')}, 1, 9)) end`,
      email: `case when n % 23 = 5 then null else 'user' || n || '@' || substr(${hash('mail', 'n')}, 1, 6) || '.example' end`,
      image: `case when n % 2 = 0 then 'https://cdn.example/avatars/' || ${hash('image', 'n')} || '.png' end`,
      role: `case when n % 500 = 0 then 'SYSTEM_ADMIN' else 'USER' end::"Role"`,
      ...times('user', 'n'),
      hasCompletedOnboarding: 'n % 4 <> 0',
    }),
    fill('waiting_list', Math.ceil(users / 5), {
      id: id('waiting', 'n'),
      email: `'waiting' || n || '@example.org'`,
      company: `case when n % 4 = 0 then 'Company ' || n end`,
      useCase: `case when n % 5 = 0 then ${words('waiting', 'n', '2')} end`,
      createdAt: time('waiting', 'n'),
    }),
    fill('Organization', teams, {
      id: team('n'),
      name: `'Team ' || n`,
      description: `case when n % 2 = 0 then ${words('team', 'n', '1')} end`,
      isDeleted: 'n % 10 = 9',
      createdBy: user(`n % ${users}`),
      ...times('team', 'n'),
    }),
    fill('OrganizationMember', members, {
      id: member,
      organizationId: team('t'),
      userId: user(`(t * 7 + k) % ${users}`),
      isAdmin: 'k = 0',
      ...times('member', `t || '.' || k`),
    }),
    fill('OrganizationGroup', inTeams(2), {
      id: half('group'),
      name: `'Group ' || k`,
      organizationId: team('t'),
      ...times('group', `t || '.' || k`),
    }),
    fill('OrganizationRole', inTeams(2), {
      id: half('role'),
      name: `case k when 0 then 'Editor' else 'Viewer' end`,
      organizationId: team('t'),
      isDefault: 'k = 1',
      ...times('role', `t || '.' || k`),
    }),
    fill('RolePermission', inTeams(10), {
      id: id('permission', `t || '.' || k`),
      roleId: half('role'),
      resourceType: `(enum_range(null::"ResourceType"))[1 + k % 6]`,
      action: `(enum_range(null::"PermissionAction"))[1 + k % 5]`,
      ...times('permission', `t || '.' || k`),
    }),
    fill('OrganizationInvitation', inTeams(2), {
      id: id('invitation', `t || '.' || k`),
      organizationId: team('t'),
      email: `'guest' || t || '.' || k || '@example.net'`,
      token: hash('token', `t || '.' || k`),
      invitedBy: user(`t % ${users}`),
      isAdmin: 'k = 1 and t % 7 = 0',
      roleIds: `array[${half('role')}]`,
      groupIds: `case when k = 0 then array[${half('group')}] else '{}' end`,
      expires: `${time('invitation', `t || '.' || k`)} + interval '7 days'`,
      ...times('invitation', `t || '.' || k`),
    }),
    fill('ResourceAccessControl', inTeams(6), {
      id: id('access', `t || '.' || k`),
      organizationId: team('t'),
      resourceType: oneOf('ResourceType', 'access', `t || '.' || k`, 6),
      resourceId: id('config', `(t * 40 + k) % ${2 * users}`),
      memberId: `case when k % 2 = 0 then ${id('member', `t || '.0'`)} end`,
      groupId: `case when k % 2 = 1 then ${half('group')} end`,
      allowedActions: `array['READ', ${oneOf('PermissionAction', 'allowed', `t || '.' || k`, 5)}]::"PermissionAction"[]`,
      deniedActions: `case when k = 0 then array['DELETE']::"PermissionAction"[] else '{}' end`,
      ...times('access', `t || '.' || k`),
    }),
    fill('_OrganizationGroupToOrganizationMember', members, { A: half('group'), B: member }),
    fill('_OrganizationGroupToOrganizationRole', inTeams(2), { A: half('group'), B: half('role') }),
    fill('_OrganizationMemberToOrganizationRole', members, { A: member, B: half('role') }),
    fill('McpServer', servers, {
      id: id('server', 'n'),
      name: `'Server ' || n`,
      iconPath: `case when n % 3 = 0 then '/icons/' || n || '.svg' end`,
      command: `case when n % 3 = 0 then 'npx' end`,
      args: `case when n % 3 = 0 then array['-y', '@example/mcp-' || n] else '{}' end`,
      envVars: `case when n % 4 = 0 then array['API_KEY', 'TEAM_ID'] else '{}' end`,
      isPublic: 'n % 5 = 0',
      ...times('server', 'n'),
      createdBy: `case when n % 2 = 0 then ${user(`n % ${users}`)} end`,
      serverType: oneOf('ServerType', 'server.type', 'n', 2),
      transportType: oneOf('TransportType', 'server.transport', 'n', 3),
      url: `case when n % 3 > 0 then 'https://mcp' || n || '.example/sse' end`,
      visibility: oneOf('McpServerVisibility', 'server.visibility', 'n', 3),
      organizationId: teamOrNone('server.team', 'n', 'n'),
      authType: oneOf('AuthType', 'server.auth', 'n', 4),
      oauthProvider: `case when n % 4 = 0 then 'google' end`,
      oauthScopes: `case when n % 4 = 0 then array['openid', 'email'] else '{}' end`,
    }),
    fill('Tool', servers * 10, {
      id: id('tool', 'n'),
      name: `'tool_' || n % 10`,
      description: words('tool', 'n', '2'),
      inputSchema: `jsonb_build_object('type', 'object', 'properties', jsonb_build_object('q' || n % 10,
                      jsonb_build_object('type', 'string', 'maxLength', n)), 'required', jsonb_build_array('q' || n % 10))`,
      isEnabled: 'n % 9 <> 0',
      mcpServerId: id('server', 'n / 10'),
      ...times('tool', 'n'),
    }),
  ];
}

function ownedRows(users: number, values: Values): string[] {
  const { hash, id, oneOf, time, words, user, teamOrNone, serverOf, times } = values;
  const named = (kind: string) => ({
    id: id(kind, 'n'),
    name: `'${kind} ' || n`,
    description: `case when n % 2 = 0 then '' else ${words(kind, 'n', '1')} end`,
  });
  return [
    fill('UserMcpServerConfig', users * 2, {
      ...named('config'),
      envVars: `'enc:v1:' || ${hash('secret', 'n')} || ${hash('secret.rest', 'n')}`,
      mcpServerId: id('server', serverOf('n')),
      userId: user('n / 2'),
      organizationId: teamOrNone('config.team', 'n', 'n / 2'),
      ...times('config', 'n'),
      oauthConnection: `case when n % 6 = 0 then 'connection-' || ${hash('oauth', 'n')} end`,
      oauthScopes: `case when n % 6 = 0 then array['openid', 'scope' || n] else '{}' end`,
    }),
    fill('UserToolGroup', users * 3, {
      ...named('group'),
      isEnabled: 'n % 8 <> 0',
      userId: user('n / 3'),
      organizationId: teamOrNone('toolgroup.team', 'n', 'n / 3'),
      id: id('toolgroup', 'n'),
      ...times('toolgroup', 'n'),
    }),
    fill('UserMcpServerInstance', users * 2, {
      ...named('instance'),
      iconPath: `case when n % 7 = 0 then '/icons/own' || n || '.svg' end`,
      serverStatus: oneOf('ServerStatus', 'instance.status', 'n', 4),
      serverType: oneOf('ServerType', 'instance.type', 'n', 2),
      toolGroupId: id('toolgroup', 'n / 2 * 3 + n % 2'),
      userId: user('n / 2'),
      organizationId: teamOrNone('instance.team', 'n', 'n / 2'),
      ...times('instance', 'n'),
      deletedAt: `case when n % 12 = 0 then ${time('instance.deleted', 'n')} end`,
      displayOrder: 'n % 10',
      authType: oneOf('AuthType', 'instance.auth', 'n', 4),
    }),
    fill('UserMcpServerInstanceToolGroup', users * 2, {
      mcpServerInstanceId: id('instance', 'n'),
      toolGroupId: id('toolgroup', 'n / 2 * 3 + 2'),
      sortOrder: 'n % 5',
      createdAt: time('link', 'n'),
    }),
    fill('UserToolGroupTool', users * 5, {
      userMcpServerConfigId: id('config', 'n / 5 * 2 + n % 2'),
      toolGroupId: id('toolgroup', 'n / 5 * 3 + n % 3'),
      toolId: id('tool', `${serverOf('n / 5 * 2 + n % 2')} * 10 + n % 10`),
      sortOrder: 'n % 4',
      createdAt: time('grouptool', 'n'),
    }),
    fill('_ToolToUserMcpServerConfig', users * 4, {
      A: id('tool', `${serverOf('n / 4 * 2 + n % 2')} * 10 + n % 10`),
      B: id('config', 'n / 4 * 2 + n % 2'),
    }),
    fill('McpApiKey', users * 2, {
      id: id('key', 'n'),
      name: `'Key ' || n`,
      apiKey: `'enc:v1:' || ${hash('apikey', 'n')}`,
      apiKeyHash: `case when n % 3 > 0 then ${hash('apikey.hash', 'n')} end`,
      isActive: 'n % 5 <> 0',
      lastUsedAt: `case when n % 2 = 0 then ${time('key.used', 'n')} end`,
      expiresAt: `case when n % 4 = 0 then timestamp '2027-01-01' + n * interval '1 second' end`,
      userMcpServerInstanceId: id('instance', 'n'),
      userId: user('n / 2'),
      ...times('key', 'n'),
    }),
  ];
}

function requestRows(users: number, values: Values): string[] {
  const { logs, hash, id, pick, oneOf, time, words, userOrNone, team } = values;
  const instance = pick('log.instance', 'n', users * 2);
  return [
    fill('McpServerRequestLog', logs, {
      id: id('log', 'n'),
      userId: userOrNone('log.user', 'n', `${instance} / 2`),
      mcpServerInstanceId: id('instance', instance),
      toolName: `'tool_' || n % 10`,
      transportType: oneOf('TransportType', 'log.transport', 'n', 3),
      method: `case when n % 9 = 0 then 'tools/list' else 'tools/call' end`,
      responseStatus: `case when n % 17 = 0 then '500' else '200' end`,
      durationMs: pick('log.duration', 'n', 5000),
      errorMessage: `case when n % 17 = 0 then ${words('log.error', 'n', '1')} end`,
      errorCode: `case when n % 17 = 0 then 'E' || n % 100 end`,
      inputBytes: `case when n % 3 > 0 then ${pick('log.input', 'n', 90_000)} end`,
      outputBytes: `case when n % 3 > 0 then ${pick('log.output', 'n', 900_000)} end`,
      organizationId: `case when ${pick('log.team', 'n', 4)} = 0 then ${team(`${instance} / 40`)} end`,
      userAgent: `case when n % 2 = 0 then 'mcp-client/1.' || n % 30 || ' (linux; x64)' end`,
      createdAt: time('log', 'n'),
    }),
    fill('McpServerRequestData', Math.floor(logs / 2), {
      id: id('data', 'n'),
      requestLogId: id('log', 'n * 2'),
      inputDataCompressed: `decode(${hash('data.in', 'n')} || ${hash('data.in2', 'n')}, 'hex')`,
      outputDataCompressed: `decode(repeat(${hash('data.out', 'n')}, 1 + n % 16), 'hex')`,
      originalInputSize: '40 + n % 1000',
      originalOutputSize: '300 + n % 9000',
      compressedInputSize: '32',
      compressedOutputSize: '16 * (1 + n % 16)',
      compressionRatio: '(32 + 16 * (1 + n % 16)) / (340.0::float8 + n % 1000 + n % 9000)',
      createdAt: time('data', 'n'),
    }),
  ];
}

function chatRows(users: number, values: Values): string[] {
  const { documents, id, oneOf, time, words, user } = values;
  return [
    fill('Chat', users * 2, {
      id: id('chat', 'n'),
      createdAt: time('chat', 'n'),
      title: `'Chat ' || n`,
      userId: user('n / 2'),
      visibility: oneOf('Visibility', 'chat', 'n', 2),
    }),
    fill('Message', users * 10, {
      id: id('message', 'n'),
      chatId: id('chat', 'n / 5'),
      role: `case when n % 2 = 0 then 'user' else 'assistant' end`,
      parts: `jsonb_build_array(jsonb_build_object('type', 'text', 'text', ${words('message', 'n', '1 + n % 4')}))`,
      attachments: `case when n % 13 = 0 then jsonb_build_array(jsonb_build_object('name', n || '.png', 'size', n)) else '[]' end`,
      createdAt: time('message', 'n'),
    }),
    fill('Vote', users * 2, {
      chatId: id('chat', 'n'),
      messageId: id('message', 'n * 5 + 1'),
      isUpvoted: 'n % 3 > 0',
    }),
    fill('Stream', users, {
      id: id('stream', 'n'),
      chatId: id('chat', 'n * 2'),
      createdAt: time('stream', 'n'),
    }),
    fill('Document', documents, {
      id: id('document', 'n'),
      createdAt: time('document', 'n'),
      title: `'Document ' || n`,
      content: `case when n % 15 > 0 then ${words('document', 'n', '1 + n % 12')} end`,
      kind: oneOf('DocumentKind', 'document.kind', 'n', 4),
      userId: user(`n % ${users}`),
    }),
    fill('Suggestion', documents, {
      id: id('suggestion', 'n'),
      documentId: id('document', 'n'),
      documentCreatedAt: time('document', 'n'),
      originalText: words('suggestion', 'n', '1'),
      suggestedText: words('suggested', 'n', '1'),
      isResolved: 'n % 3 = 0',
      userId: user(`n % ${users}`),
      createdAt: time('suggestion', 'n'),
    }),
  ];
}
