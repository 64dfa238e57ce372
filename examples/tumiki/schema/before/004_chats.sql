-- Tumiki before the migration: chats, documents and what belongs to them.

create table "Chat" (
  "id" text not null,
  "createdAt" timestamp(3) not null,
  "title" text not null,
  "userId" text not null,
  "visibility" "Visibility" not null default 'private',
  constraint "Chat_pkey" primary key ("id")
);

create table "Document" (
  "id" text not null,
  "createdAt" timestamp(3) not null,
  "title" text not null,
  "content" text,
  "kind" "DocumentKind" not null default 'text',
  "userId" text not null,
  constraint "Document_pkey" primary key ("id", "createdAt")
);

create table "Message" (
  "id" text not null,
  "chatId" text not null,
  "role" text not null,
  "parts" jsonb not null,
  "attachments" jsonb not null,
  "createdAt" timestamp(3) not null,
  constraint "Message_pkey" primary key ("id")
);

create table "Stream" (
  "id" text not null,
  "chatId" text not null,
  "createdAt" timestamp(3) not null,
  constraint "Stream_pkey" primary key ("id")
);

create table "Suggestion" (
  "id" text not null,
  "documentId" text not null,
  "documentCreatedAt" timestamp(3) not null,
  "originalText" text not null,
  "suggestedText" text not null,
  "description" text,
  "isResolved" boolean not null default false,
  "userId" text not null,
  "createdAt" timestamp(3) not null,
  constraint "Suggestion_pkey" primary key ("id")
);

create table "Vote" (
  "chatId" text not null,
  "messageId" text not null,
  "isUpvoted" boolean not null,
  constraint "Vote_pkey" primary key ("chatId", "messageId")
);
