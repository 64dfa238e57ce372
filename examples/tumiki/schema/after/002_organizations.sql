-- Tumiki after the migration: users, organizations and access.

create table "Organization" (
  "id" text not null,
  "name" text not null,
  "description" text,
  "logoUrl" text,
  "isDeleted" boolean not null default false,
  "createdBy" text not null,
  "createdAt" timestamp(3) not null default current_timestamp,
  "updatedAt" timestamp(3) not null,
  "isPersonal" boolean not null default true,
  "maxMembers" integer not null default 1,
  constraint "Organization_pkey" primary key ("id")
);

create table "OrganizationGroup" (
  "id" text not null,
  "name" text not null,
  "description" text,
  "organizationId" text not null,
  "createdAt" timestamp(3) not null default current_timestamp,
  "updatedAt" timestamp(3) not null,
  constraint "OrganizationGroup_pkey" primary key ("id")
);

create table "OrganizationInvitation" (
  "id" text not null,
  "organizationId" text not null,
  "email" text not null,
  "token" text not null,
  "invitedBy" text not null,
  "isAdmin" boolean not null default false,
  "roleIds" text[],
  "groupIds" text[],
  "expires" timestamp(3) not null,
  "createdAt" timestamp(3) not null default current_timestamp,
  "updatedAt" timestamp(3) not null,
  constraint "OrganizationInvitation_pkey" primary key ("id")
);

create table "OrganizationMember" (
  "id" text not null,
  "organizationId" text not null,
  "userId" text not null,
  "isAdmin" boolean not null default false,
  "createdAt" timestamp(3) not null default current_timestamp,
  "updatedAt" timestamp(3) not null,
  constraint "OrganizationMember_pkey" primary key ("id")
);

create table "OrganizationRole" (
  "id" text not null,
  "name" text not null,
  "description" text,
  "organizationId" text not null,
  "isDefault" boolean not null default false,
  "createdAt" timestamp(3) not null default current_timestamp,
  "updatedAt" timestamp(3) not null,
  constraint "OrganizationRole_pkey" primary key ("id")
);

create table "ResourceAccessControl" (
  "id" text not null,
  "organizationId" text not null,
  "resourceType" "ResourceType" not null,
  "resourceId" text not null,
  "memberId" text,
  "groupId" text,
  "allowedActions" "PermissionAction"[],
  "deniedActions" "PermissionAction"[],
  "createdAt" timestamp(3) not null default current_timestamp,
  "updatedAt" timestamp(3) not null,
  constraint "ResourceAccessControl_pkey" primary key ("id")
);

create table "RolePermission" (
  "id" text not null,
  "roleId" text not null,
  "resourceType" "ResourceType" not null,
  "action" "PermissionAction" not null,
  "createdAt" timestamp(3) not null default current_timestamp,
  "updatedAt" timestamp(3) not null,
  constraint "RolePermission_pkey" primary key ("id")
);

create table "User" (
  "id" text not null,
  "name" text,
  "email" text,
  "image" text,
  "role" "Role" not null default 'USER',
  "createdAt" timestamp(3) not null default current_timestamp,
  "updatedAt" timestamp(3) not null,
  "defaultOrganizationId" text,
  constraint "User_pkey" primary key ("id")
);

create table "_OrganizationGroupToOrganizationMember" (
  "A" text not null,
  "B" text not null,
  constraint "_OrganizationGroupToOrganizationMember_pkey" primary key ("A", "B")
);

create table "_OrganizationGroupToOrganizationRole" (
  "A" text not null,
  "B" text not null,
  constraint "_OrganizationGroupToOrganizationRole_pkey" primary key ("A", "B")
);

create table "_OrganizationMemberToOrganizationRole" (
  "A" text not null,
  "B" text not null,
  constraint "_OrganizationMemberToOrganizationRole_pkey" primary key ("A", "B")
);

create table "waiting_list" (
  "id" text not null,
  "email" text not null,
  "name" text,
  "company" text,
  "useCase" text,
  "createdAt" timestamp(3) not null default current_timestamp,
  constraint "waiting_list_pkey" primary key ("id")
);
