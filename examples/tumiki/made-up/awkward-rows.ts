/** The awkward rows of a made-up Tumiki: every rule of the migration at its edges, every value that is hard to carry. */
import type { ClientBase } from 'pg';
import { identifier, identifiers } from '../../../src/postgres/sql';
import { awkwardOwnedRows, awkwardChatRows, awkwardRequestRows } from './awkward-owned-rows';
import { at, awkwardArrays, awkwardTexts, id, list, text, userId, type Row } from './awkward-values';

const resources = ['GROUP', 'MEMBER', 'ROLE', 'MCP_SERVER_CONFIG', 'TOOL_GROUP', 'MCP_SERVER_INSTANCE'];
const actions = ['CREATE', 'READ', 'UPDATE', 'DELETE', 'MANAGE'];
const teamSizes = [2, 10, 11, 20];

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
    ...awkwardOwnedRows(),
    ...awkwardRequestRows(),
    ...awkwardChatRows(),
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
