/** The awkward rows that belong to users: their servers, tools and instances, their requests, their chats and documents. */
import {
  allBytes,
  at,
  awkwardFloats,
  awkwardJson,
  awkwardTexts,
  id,
  json,
  list,
  noise,
  pick,
  text,
  userId,
  type Row,
} from './awkward-values';

const authTypes = ['NONE', 'API_KEY', 'OAUTH', 'BOTH'];
const transports = ['STDIO', 'SSE', 'STREAMABLE_HTTPS'];
const visibilities = ['PRIVATE', 'ORGANIZATION', 'PUBLIC'];
const statuses = ['RUNNING', 'STOPPED', 'ERROR', 'PENDING'];
const serverTypes = ['CUSTOM', 'OFFICIAL'];

/** Servers, configurations, tool groups and instances: with and without a team (a deleted one too), every enum value. */
export function awkwardOwnedRows(): Record<string, Row[]> {
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
export function awkwardRequestRows(): Record<string, Row[]> {
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

/** Chats, their messages and votes, documents and suggestions. */
export function awkwardChatRows(): Record<string, Row[]> {
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
