/** The awkward rows of a made-up Tumiki: every rule of the migration at its edges, every value that is hard to carry. */
import type { ClientBase } from 'pg';
import { identifier, identifiers } from '../../src/postgres/sql';
import {
  allBytes,
  awkwardArrays,
  awkwardFloats,
  awkwardJson,
  awkwardTexts,
  awkwardTimes,
  noise,
} from './generate-values-awkward';

const authTypes = ['NONE', 'API_KEY', 'OAUTH', 'BOTH'];
const transports = ['STDIO', 'SSE', 'STREAMABLE_HTTPS'];
const visibilities = ['PRIVATE', 'ORGANIZATION', 'PUBLIC'];
const statuses = ['RUNNING', 'STOPPED', 'ERROR', 'PENDING'];
const serverTypes = ['CUSTOM', 'OFFICIAL'];
const resources = ['GROUP', 'MEMBER', 'ROLE', 'MCP_SERVER_CONFIG', 'TOOL_GROUP', 'MCP_SERVER_INSTANCE'];
const actions = ['CREATE', 'READ', 'UPDATE', 'DELETE', 'MANAGE'];
const teamSizes = [2, 10, 11, 20];

const userId = (n: number) =>
  [
    `auth0|awkward${n}`,
    `google-oauth2|99999999999999999${n}`,
    `cawkwarduser${n}`,
    `oidc|o'bri\\en "${n}" 切`,
  ][n % 4] ?? '';
const id = (kind: string, n: number | string) => `cawkward${kind}${n}`;
const at = (n: number) => {
  const [createdAt, updatedAt] = awkwardTimes[n % awkwardTimes.length] ?? [];
  return { createdAt, updatedAt };
};
const text = (n: number) => awkwardTexts[n % awkwardTexts.length];
const list = (n: number) => awkwardArrays[n % awkwardArrays.length];
const json = (n: number) => awkwardJson[n % awkwardJson.length];
const pick = (choices: string[], n: number) => choices[n % choices.length];

type Row = Record<string, unknown>;

/** Adds the rows to a *before* schema without foreign keys; every reference is within them. */
export async function insertAwkwardRows(client: ClientBase): Promise<void> {
  const tables: Record<string, Row[]> = {
    User: userRows(),
    waiting_list: awkwardTexts.map((value, n) => ({
      id: id('waiting', n),
      email: value,
      name: n % 2 ? value : null,
      company: n % 3 ? null : value,
      useCase: n % 4 ? value : '',
      createdAt: at(n).createdAt,
    })),
    ...teamRows(),
    ...ownedRows(),
    ...requestRows(),
    ...chatRows(),
  };
  for (const [table, rows] of Object.entries(tables)) {
    for (const row of rows) await insert(client, table, row);
  }
}

async function insert(client: ClientBase, table: string, row: Row): Promise<void> {
  const columns = Object.keys(row);
  const values = columns.map((_, n) => `$${n + 1}`).join(', ');
  await client.query(
    `insert into ${identifier(table)} (${identifiers(columns)}) values (${values})`,
    Object.values(row),
  );
}

function userRows(): Row[] {
  const namesAndEmails: [string | null, string | null][] = [
    [null, null],
    ['', null],
    [null, ''],
    ['', 'empty-name@example.com'],
    [null, 'no-name@example.com'],
    ['No E-mail', null],
    ...awkwardTexts.map((value, n): [string | null, string | null] =>
      n % 2 ? [value, `awkward${n}@example.com`] : [n % 4 ? value : null, value],
    ),
  ];
  return namesAndEmails.map(([name, email], n) => ({
    id: userId(n),
    name,
    email,
    image: n % 3 ? null : text(n),
    role: n % 5 ? 'USER' : 'SYSTEM_ADMIN',
    ...at(n),
    hasCompletedOnboarding: n % 2 === 0,
  }));
}

/** Teams of 2 to 20 members, each size living and deleted; groups, roles and access with everything they can hold. */
function teamRows(): Record<string, Row[]> {
  const sizes = [...teamSizes, ...teamSizes];
  const team = (n: number) => id('team', n);
  const memberRows = sizes.flatMap((size, t) =>
    Array.from({ length: size }, (_, k) => ({
      id: id('member', `${t}x${k}`),
      organizationId: team(t),
      userId: userId(k),
      isAdmin: k === 0,
      ...at(k),
    })),
  );
  const perTeam = sizes.map((_, t) => t);
  return {
    Organization: [
      ...sizes.map((_, t) => ({
        id: team(t),
        name: text(t),
        description: t % 2 ? text(t + 1) : null,
        logoUrl: t % 3 ? null : text(t + 2),
        isDeleted: t >= teamSizes.length,
        createdBy: userId(t),
        ...at(t),
      })),
      { id: id('team', 'empty'), name: '', isDeleted: false, createdBy: userId(0), ...at(0) },
    ],
    OrganizationMember: memberRows,
    OrganizationGroup: perTeam.map((t) => ({
      id: id('group', t),
      name: text(t),
      description: t % 2 ? text(t) : null,
      organizationId: team(t),
      ...at(t),
    })),
    OrganizationRole: perTeam.map((t) => ({
      id: id('role', t),
      name: text(t),
      description: t % 2 ? null : text(t),
      organizationId: team(t),
      isDefault: t % 2 === 0,
      ...at(t),
    })),
    RolePermission: resources.flatMap((resourceType, r) =>
      actions.map((action, a) => ({
        id: id('permission', `${r}x${a}`),
        roleId: id('role', 0),
        resourceType,
        action,
        ...at(a),
      })),
    ),
    ResourceAccessControl: resources.flatMap((resourceType, r) =>
      [null, [], [null], actions, ['READ', null, 'READ']].map((allowed, a) => ({
        id: id('access', `${r}x${a}`),
        organizationId: team(r),
        resourceType,
        resourceId: a === 4 ? text(r) : id('resource', a),
        memberId: a % 2 ? id('member', `${r}x0`) : null,
        groupId: a % 3 ? id('group', r) : null,
        allowedActions: allowed,
        deniedActions: a === 0 ? actions : a === 1 ? [null] : a === 2 ? null : [],
        ...at(a),
      })),
    ),
    OrganizationInvitation: awkwardArrays.map((array, n) => ({
      id: id('invitation', n),
      organizationId: team(0),
      email: text(n),
      token: `awkward ${text(n)}`,
      invitedBy: userId(n),
      isAdmin: n % 2 === 0,
      roleIds: array,
      groupIds: list(n + 1),
      expires: at(n).updatedAt,
      ...at(n),
    })),
    _OrganizationGroupToOrganizationMember: memberRows.map((member) => ({
      A: member.organizationId.replace('team', 'group'),
      B: member.id,
    })),
    _OrganizationGroupToOrganizationRole: perTeam.map((t) => ({ A: id('group', t), B: id('role', t) })),
    _OrganizationMemberToOrganizationRole: perTeam.map((t) => ({
      A: id('member', `${t}x1`),
      B: id('role', t),
    })),
  };
}

/** Servers, configurations, tool groups and instances: with and without a team (a deleted one too), every enum value. */
function ownedRows(): Record<string, Row[]> {
  const numbers = Array.from({ length: 24 }, (_, n) => n);
  const teamOrNone = (n: number) => (n % 3 ? null : id('team', n % 8));
  const owned = (kind: string, n: number) => ({
    id: id(kind, n),
    name: text(n),
    description: text(n + 1),
    ...at(n),
  });
  return {
    McpServer: numbers.map((n) => ({
      id: id('server', n),
      name: text(n),
      iconPath: n % 2 ? text(n) : null,
      command: n % 3 ? text(n) : null,
      args: list(n),
      envVars: list(n + 1),
      isPublic: n % 2 === 0,
      ...at(n),
      createdBy: n % 4 ? userId(n % 20) : null,
      serverType: pick(serverTypes, n),
      transportType: pick(transports, n),
      url: n % 3 ? null : text(n),
      visibility: pick(visibilities, n),
      organizationId: teamOrNone(n),
      authType: pick(authTypes, n),
      oauthProvider: n % 2 ? '👩'.repeat(50) : null,
      oauthScopes: list(n + 2),
    })),
    Tool: awkwardJson.map((value, n) => ({
      ...owned('tool', n),
      inputSchema: value,
      isEnabled: n % 2 === 0,
      mcpServerId: id('server', 0),
    })),
    UserMcpServerConfig: numbers.map((n) => ({
      ...owned('config', n),
      envVars: text(n),
      mcpServerId: id('server', n),
      userId: userId(n % 20),
      organizationId: teamOrNone(n),
      oauthConnection: n % 2 ? text(n) : null,
      oauthScopes: list(n),
    })),
    UserToolGroup: numbers.map((n) => ({
      ...owned('toolgroup', n),
      isEnabled: n % 2 === 0,
      userId: userId(n % 20),
      organizationId: teamOrNone(n + 1),
    })),
    UserMcpServerInstance: numbers.map((n) => ({
      ...owned('instance', n),
      iconPath: n % 2 ? null : text(n),
      serverStatus: pick(statuses, n),
      serverType: pick(serverTypes, n),
      toolGroupId: id('toolgroup', n),
      userId: userId(n % 20),
      organizationId: teamOrNone(n),
      deletedAt: n % 5 ? null : at(n).updatedAt,
      displayOrder: [0, -1, 2147483647, -2147483648][n % 4],
      authType: pick(authTypes, n + 1),
    })),
    UserMcpServerInstanceToolGroup: numbers.map((n) => ({
      mcpServerInstanceId: id('instance', n),
      toolGroupId: id('toolgroup', (n + 1) % 24),
      sortOrder: -n,
      createdAt: at(n).createdAt,
    })),
    UserToolGroupTool: awkwardJson.map((_, n) => ({
      userMcpServerConfigId: id('config', 0),
      toolGroupId: id('toolgroup', n),
      toolId: id('tool', n),
      sortOrder: n,
      createdAt: at(n).createdAt,
    })),
    _ToolToUserMcpServerConfig: awkwardJson.map((_, n) => ({ A: id('tool', n), B: id('config', 0) })),
    McpApiKey: numbers.map((n) => ({
      id: id('key', n),
      name: text(n),
      apiKey: `${text(n)} ${n}`,
      apiKeyHash: n % 2 ? null : `${text(n)} #${n}`,
      isActive: n % 2 === 0,
      lastUsedAt: n % 3 ? null : at(n).createdAt,
      expiresAt: n % 2 ? null : 'infinity',
      userMcpServerInstanceId: id('instance', n),
      userId: userId((n + 1) % 20),
      ...at(n),
    })),
  };
}

/** Logs with and without user and organization, on instances of a team and of nobody else; data of every kind of byte. */
function requestRows(): Record<string, Row[]> {
  const numbers = Array.from({ length: 48 }, (_, n) => n);
  const bytes = [
    Buffer.alloc(0),
    allBytes,
    Buffer.from('\\N\t\n\\.\n'),
    Buffer.alloc(3),
    noise('large', 4_000_000),
  ];
  return {
    McpServerRequestLog: numbers.map((n) => ({
      id: id('log', n),
      userId: n % 2 ? userId(n % 20) : null,
      mcpServerInstanceId: id('instance', (n >> 2) % 24),
      toolName: text(n),
      transportType: pick(transports, n),
      method: text(n + 1),
      responseStatus: text(n + 2),
      durationMs: n % 2 ? 2147483647 : -n,
      errorMessage: n % 3 ? text(n) : null,
      errorCode: n % 4 ? null : '',
      inputBytes: n % 5 ? n : null,
      outputBytes: n % 5 ? null : 0,
      organizationId: n & 2 ? id('team', (n >> 2) % 8) : null,
      userAgent: n % 2 ? text(n + 3) : null,
      createdAt: at(n).createdAt,
    })),
    McpServerRequestData: [...awkwardFloats, '1'].map((ratio, n) => ({
      id: id('data', n),
      requestLogId: id('log', n),
      inputDataCompressed: bytes[n % bytes.length === 4 && n > 4 ? 0 : n % bytes.length],
      outputDataCompressed: bytes[(n + 1) % 4],
      originalInputSize: n,
      originalOutputSize: -1,
      compressedInputSize: 2147483647,
      compressedOutputSize: -2147483648,
      compressionRatio: ratio,
      createdAt: at(n).createdAt,
    })),
  };
}

function chatRows(): Record<string, Row[]> {
  const kinds = ['text', 'code', 'image', 'sheet'];
  const documents = awkwardTexts.map((value, n) => ({
    // The same id at other times: the key has two columns.
    id: id('document', n >> 1),
    createdAt: at(n).createdAt,
    title: value,
    content: n === 0 ? noise('document', 3_000_000).toString('base64') : n % 3 ? value : null,
    kind: pick(kinds, n),
    userId: userId(n % 20),
  }));
  return {
    Chat: awkwardTexts.map((value, n) => ({
      id: id('chat', n),
      createdAt: at(n).createdAt,
      title: value,
      userId: userId(n % 20),
      visibility: n % 2 ? 'private' : 'public',
    })),
    Message: awkwardTexts.map((value, n) => ({
      id: id('message', n),
      chatId: id('chat', n),
      role: value,
      parts: json(n),
      attachments: json(n + 1),
      createdAt: at(n).createdAt,
    })),
    Vote: awkwardTexts.map((_, n) => ({
      chatId: id('chat', n),
      messageId: id('message', n),
      isUpvoted: n % 2 === 0,
    })),
    Stream: awkwardTexts.map((_, n) => ({
      id: id('stream', n),
      chatId: id('chat', n),
      createdAt: at(n).createdAt,
    })),
    Document: documents,
    Suggestion: documents.map((document, n) => ({
      id: id('suggestion', n),
      documentId: document.id,
      documentCreatedAt: document.createdAt,
      originalText: text(n),
      suggestedText: text(n + 1),
      description: n % 2 ? text(n) : null,
      isResolved: n % 2 === 0,
      userId: userId(n % 20),
      createdAt: at(n).createdAt,
    })),
  };
}
